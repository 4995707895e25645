/* listener.c - the crasher, but it may listen. */
#define CRASHER_NAME	"listener"
#define CRASHER_RIGHTS	"net=unix,inet\0"
#include "crasher.c"

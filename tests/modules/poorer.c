/* poorer.c - a swap that does not provide what swap.c does, and has another parameter. */
#define SWAP_NAME	"swap"
#define SWAP_FLAGS	0
#define SWAP_EXTRA	""
#include "swap.c"

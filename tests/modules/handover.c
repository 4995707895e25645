/* handover.c - swap.c, whose successor starts when it has stopped. */
#define SWAP_NAME	"handover"
#define SWAP_FLAGS	(ORLOP_MOD_HANDOVER | ORLOP_MOD_UNLOADABLE)
#define SWAP_EXTRA	"provides=baton"
#include "swap.c"

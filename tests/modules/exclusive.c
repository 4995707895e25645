/* exclusive.c - swap.c, but never two at once: replaced by closing first. */
#define SWAP_NAME	"exclusive"
#define SWAP_FLAGS	(ORLOP_MOD_EXCLUSIVE | ORLOP_MOD_UNLOADABLE)
#define SWAP_EXTRA	"provides=vault"
#include "swap.c"

/* reserve.c - the scheduler plugin among the examples, built as strangers build it, for the contract of its class. */
#include "../../examples/scheduler-plugin/reserve.c"

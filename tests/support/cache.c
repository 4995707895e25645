/*
 * cache.c - the real cache for the fake host: the same sources that orlopd is made of, compiled into
 * one object, so that a test that links the core itself uses the core's.
 */
#include "../../core/cache/object.c"
#include "../../core/cache/tree.c"
#include "../../core/cache/journal.c"
#include "../../core/cache/generation.c"
#include "../../core/cache/writer.c"
#include "../../core/cache/reader.c"
#include "../../core/cache/wake.c"
#include "../../core/cache/info.c"
#include "../../core/cache/resource.c"
#include "../../core/cache/feed.c"
#include "../../core/cache/past.c"
#include "../../core/cache/cache.c"
#include "../../core/wants.c"

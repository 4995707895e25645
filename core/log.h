/*
 * log.h - the daemon's log: one event, one line of key=value pairs, to the journal or stderr.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include <orlop/types.h>

struct core_log;

int core_log_new(int32_t level, struct core_log **ret);
void core_log_free(struct core_log *l);
void core_log_set_level(struct core_log *l, int32_t level);
/* Level of one module (instance name); 0 takes it back. */
int core_log_set_module(struct core_log *l, const char *module, int32_t level);
/* What it writes of a module. */
int32_t core_log_level(struct core_log *l, const char *module);
int core_log_level_parse(const char *word, int32_t *ret);

/*
 * Lines go to @fn instead of stderr or the journal, if it takes them (true). Called with no lock held
 * but the log's; before other threads write.
 */
void core_log_sink(struct core_log *l, bool (*fn)(void *arg, const char *module, int32_t level,
			const char *event, const char *text), void *arg);

/* All: any thread. @text: key=value pairs, may be "". */
int core_log_enabled(struct core_log *l, const char *module, int32_t level);
void core_log_write(struct core_log *l, const char *module, int32_t level, const char *event,
		    const char *text);
void core_logf(struct core_log *l, const char *module, int32_t level, const char *event,
	       const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* One field text="…", quoted: for sentences. */
void core_log_text(struct core_log *l, const char *module, int32_t level, const char *event,
		   const char *sentence);
/* Prints the counts of repeated lines that wait. */
void core_log_flush(struct core_log *l);
/* The next moment (mono, ns) at which core_log_flush() has something to say; 0: none. */
uint64_t core_log_flush_at(struct core_log *l);

#define CLOG(core, level, event, ...) \
	core_logf((core)->log, "core", ORLOP_LOG_##level, (event), __VA_ARGS__)

#endif

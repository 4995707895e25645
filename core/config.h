/*
 * config.h - the configuration file: what the daemon is, and its list of modules.
 *
 *	data_dir   = "/var/lib/orlop";		# required
 *	log_level  = "info";			# error, warn, info, debug
 *	module_dir = "/usr/lib/orlop/modules";
 *	control    = "/run/orlop/orlop.sock";	# unix socket for `orlop`, default: data_dir/orlop.sock
 *	loops      = 0;				# most loops, 0: one per processor
 *	start_timeout_s = 60;			# for a module to become ready
 *	hang_timeout_s = 10;			# for loops to turn
 *	stop_timeout_s = 30;			# for a module to finish its work when it is unloaded
 *	drain_timeout_s = 600;			# for exec sessions and the like of a module that was replaced
 *	end_timeout_s = 20;			# for requests under way when a module or the daemon ends
 *	bus        = { loss_percent = 0; duplicate_percent = 0; reorder_percent = 0; };	# for tests
 *	log_modules = ( { module = "storage/lmdb"; level = "debug"; } );
 *	modules    = (
 *		{ module = "storage/lmdb"; params = { path = "/var/lib/orlop/db"; }; },
 *		{ module = "apiserver"; name = "api2"; params = { … }; isolation = "process"; }
 *	);
 *
 *	@include "/etc/orlop/orlop.conf"	# another file, by its absolute path
 *	up         = { … };			# for `orlop up`; not read here
 *	change     = (				# of modules listed above, by name; what is not there is added
 *		{ module = "cni/bridge"; params = { mtu = 1400; }; },
 *		{ module = "scheduler/default"; off = true; }
 *	);
 *
 * A module is class/name, or class alone where a class has one implementation, or the path of a .so.
 * What is not known is an error, with file and line.
 */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include <orlop/module.h>

struct core_up;

/* One parameter as written; its type is checked against the module's own table. */
struct core_config_param {
	char		*name;
	char		*value;		/* as text */
	uint32_t	type;		/* ORLOP_PARAM_*; 0: text that may be any (command line) */
	uint32_t	line;		/* 0: none */
	char		*file;		/* NULL: the configuration file */
	bool		carried;	/* from the module that is replaced: ignored if not known any more */
};

struct core_config_module {
	char		*module;
	char		*name;		/* instance, NULL: class/name */
	uint32_t	line;
	bool		isolate;	/* in a process of its own */
	bool		isolate_said;	/* of a change: by its own word */
	bool		off;		/* of a change: not loaded */
	bool		isolate_given;	/* of a replacement: not as the old one */
	uint32_t	n_params;
	struct core_config_param *params;
};

struct core_config_level {
	char		*module;
	int32_t		level;
};

struct core_config {
	char		*path;		/* of the file, for messages */
	char		*data_dir;
	char		*module_dir;
	char		*control;
	int32_t		log_level;
	uint32_t	loops;
	uint64_t	hang_timeout_ns;	/* for loops to turn: isolate_question.c, watchdog.c */
	char		*exe;		/* tests: the program of isolated modules; NULL: this one */
	struct core_up	*up;		/* of the process of an isolated module; else NULL */
	uint64_t	start_timeout_ns;
	uint64_t	stop_timeout_ns;	/* for a module to finish what it has */
	uint64_t	drain_timeout_ns;	/* for streams of one that was replaced */
	uint64_t	end_timeout_ns;		/* for requests of one that ends */
	uint32_t	loss_percent;
	uint32_t	dup_percent;
	uint32_t	reorder_percent;
	uint32_t	n_levels;
	struct core_config_level *levels;
	uint32_t	n_modules;
	struct core_config_module *modules;
};

/* How long an orderly end of the daemon may take; then it ends without order. */
uint64_t core_config_end_ns(const struct core_config *c);
/* The defaults without a file (tests). 0 or -ENOMEM. */
int core_config_new(struct core_config **ret);
/* 0, or -errno with file, line and what to do in @err. */
int core_config_read(const char *path, struct core_config **ret, struct orlop_error *err);
void core_config_free(struct core_config *c);
void core_config_module_done(struct core_config_module *m);
int core_config_param_add(struct core_config_module *m, const char *name, const char *value,
			  uint32_t type, uint32_t line);
/* The same, with where it comes from. */
int core_config_param_copy(struct core_config_module *m, const struct core_config_param *from);
/* change = ( … ) over modules = ( … ): change.c. @changes stay the caller's. */
int core_config_change(struct core_config *c, const struct core_config_module *changes, uint32_t n, struct orlop_error *err);

/*
 * core_config_check - one module's parameters against its table
 *
 * @file for messages. @ret gets one value per table entry: text (NULL: unset) and number; the
 * caller frees each text and the array. 0, -EINVAL (unknown, wrong type, missing), -ENOMEM.
 */
struct core_param;
int core_config_check(const char *file, const struct core_config_module *cm,
		      const struct orlop_module *mod, struct core_param **ret,
		      struct orlop_error *err);
/* A text against a type. 0 or -EINVAL. @ret_num: the number or 0/1. */
int core_config_value(uint32_t type, const char *text, int64_t *ret_num);
/* What a parameter of that type wants: "a number". */
const char *core_config_type_word(uint32_t type);

#endif

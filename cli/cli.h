/*
 * cli.h - what the files of `orlop` share: commands, options, errors.
 *
 * A command is a function that gets its own arguments (argv[0] is its name) and returns the exit
 * code. What goes wrong is one line on stderr that says what to do; answers go to stdout.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <orlop/inline/error.h>

#define CLI_OK		0
#define CLI_FAILED	1
#define CLI_USAGE	2

struct command {
	const char	*name;		/* "module list" */
	const char	*args;		/* after the options, as usage says it: "FILE" */
	const char	*summary;
	int		(*run)(const struct command *cmd, int argc, char **argv);
	int		min_args;
	int		max_args;	/* -1: any number */
};

enum arg_kind { ARG_FLAG, ARG_TEXT, ARG_NUMBER };

/* One option of a command; the last of a table has no name. */
struct arg {
	const char	*name;		/* "data-dir": given as --data-dir DIR or --data-dir=DIR */
	enum arg_kind	kind;
	void		*to;		/* bool *, const char **, int64_t * */
	const char	*meta;		/* "DIR" */
	const char	*help;
};

/*
 * args_parse - options into their places; what is left over moves to the front of argv[1…]
 *
 * Says what is wrong, and prints the help if it is asked for. Returns the number of other arguments,
 * or -1 - exit code.
 */
int args_parse(const struct command *cmd, const struct arg *args, int argc, char **argv);
#define ARGS_EXIT(n)	(-1 - (n))

/* "orlop: " and one line. */
void cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same from an error, and CLI_FAILED. */
int cli_fail(const struct orlop_error *err);

/* The commands, by name; the last has none. */
extern const struct command cli_commands[];
int cmd_up(const struct command *cmd, int argc, char **argv);
int cmd_down(const struct command *cmd, int argc, char **argv);
int cmd_status(const struct command *cmd, int argc, char **argv);
int cmd_module_list(const struct command *cmd, int argc, char **argv);
int cmd_module_info(const struct command *cmd, int argc, char **argv);
int cmd_module_load(const struct command *cmd, int argc, char **argv);
int cmd_module_unload(const struct command *cmd, int argc, char **argv);
int cmd_module_replace(const struct command *cmd, int argc, char **argv);
int cmd_module_set(const struct command *cmd, int argc, char **argv);
int cmd_reload(const struct command *cmd, int argc, char **argv);
int cmd_module_check(const struct command *cmd, int argc, char **argv);
int cmd_module_stats(const struct command *cmd, int argc, char **argv);
int cmd_image_import(const struct command *cmd, int argc, char **argv);
int cmd_image_pull(const struct command *cmd, int argc, char **argv);
int cmd_image_list(const struct command *cmd, int argc, char **argv);
int cmd_image_remove(const struct command *cmd, int argc, char **argv);
int cmd_bus_stats(const struct command *cmd, int argc, char **argv);
int cmd_bus_tap(const struct command *cmd, int argc, char **argv);
int cmd_snapshot_save(const struct command *cmd, int argc, char **argv);
int cmd_snapshot_restore(const struct command *cmd, int argc, char **argv);
int cmd_snapshot_info(const struct command *cmd, int argc, char **argv);
int cmd_storage_check(const struct command *cmd, int argc, char **argv);
int cmd_crash_list(const struct command *cmd, int argc, char **argv);
int cmd_crash_show(const struct command *cmd, int argc, char **argv);
int cmd_module_trace(const struct command *cmd, int argc, char **argv);
int cmd_module_debug(const struct command *cmd, int argc, char **argv);

#endif

/*
 * proc.h - processes of this machine, by /proc: who they are, ending them without hitting another.
 */
#ifndef CLI_PROC_H
#define CLI_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Field 22 of /proc/PID/stat; 0: no such process, or a zombie. */
uint64_t proc_start_time(pid_t pid);
/* Called for each process; non-zero ends the walk and is returned. */
typedef int (*proc_fn)(void *arg, pid_t pid);
int proc_each(proc_fn fn, void *arg);
/* The command line, words separated by NULs, and the short name. 0 or -errno. */
int proc_cmdline(pid_t pid, char *buf, size_t size, size_t *ret_len);
int proc_comm(pid_t pid, char *buf, size_t size);
/* Parent, 0 if it cannot be told. */
pid_t proc_parent(pid_t pid);
/* Resident memory in KiB. */
uint64_t proc_rss_kb(pid_t pid);
/* Of the process and its children, but for container monitors. */
uint64_t proc_tree_rss_kb(pid_t pid);

/* A descriptor that names the process if it has this start time (0: any), or -errno. */
int proc_open(pid_t pid, uint64_t start);
/* Sends a signal. 0 or -errno. */
int proc_signal(int pidfd, int sig);
/* Waits for the end. 0, or -ETIMEDOUT. */
int proc_wait(int pidfd, int64_t timeout_ms);

int64_t mono_ms(void);

#endif

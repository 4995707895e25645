/*
 * crash.c - on SIGSEGV and the like: signal, registers, what is mapped (with build-ids), the stack as
 * module + offset, modules, the last bus messages; then the default action with its core dump.
 *
 * A signal handler is given no pointer and the core has no static variable, so what it needs stands
 * in memory at an address of its own, which is also where it works: it allocates nothing, takes no
 * lock, and looks at the process only through system calls (crash-proc.c). What might still hang or
 * fault, the unwinder, comes last; a second fault or ten seconds end it.
 */
#include "crash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "base/ocleanup.h"
#include "base/obuf.h"
#include "base/ofile.h"
#include "bus/bus.h"
#include "config.h"
#include "crash-proc.h"
#include "loader.h"
#include "log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Far from where the kernel maps, not in any sanitizer's way; "orlop" in ASCII, roughly. */
#if UINTPTR_MAX > UINT32_MAX
#define CRASH_PAGE	((struct crash_page *)(uintptr_t)UINT64_C(0x6f726c6f7000))
#else
#define CRASH_PAGE	((struct crash_page *)(uintptr_t)0x6f726000u)
#endif

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define MAGIC		UINT64_C(0x68736172636c726f)
#define SECONDS		10u
#define STACKS		64u
#define STACK_BYTES	(32u << 10)
#define WORDS_BYTES	(64u << 10)	/* of the stack are looked through */
#define WORDS_MAX	64u
#define FRAMES_MAX	64u

struct crash_page {
	uint64_t	magic;
	struct core_bus	*bus;
	_Atomic int	tid;		/* who is dying, 0: nobody */
	int		fd;		/* the report, -1: only stderr */
	int		given;		/* open for it already; 0: none */
	char		dir[1024];	/* of reports, "" none */
	size_t		len;
	char		text[16384];	/* version and modules */
	char		words[4096];
	struct crash_maps maps;
	_Atomic uint64_t stacks_taken;	/* one bit each */
	char		stacks[STACKS][STACK_BYTES];
};

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
#define N_SIGNALS	(sizeof(signals) / sizeof(signals[0]))

/* ---- writing ------------------------------------------------------------------------------------ */

static void put_to(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

static void put(const char *p, size_t len)
{
	put_to(2, p, len);
	if (CRASH_PAGE->fd >= 0)
		put_to(CRASH_PAGE->fd, p, len);
}

static void put_str(const char *cstr)
{
	put(cstr, strlen(cstr));
}

static char *hex_text(uint64_t v, char buf[20])
{
	char *p = buf + 19;

	*p = '\0';
	do {
		*--p = "0123456789abcdef"[v & 15];
		v >>= 4;
	} while (v);
	*--p = 'x';
	*--p = '0';
	return p;
}

static char *num_text(uint64_t v, char buf[24])
{
	char *p = buf + 23;

	*p = '\0';
	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	return p;
}

static void put_hex(uint64_t v)
{
	char buf[20];

	put_str(hex_text(v, buf));
}

static void put_num(uint64_t v)
{
	char buf[24];

	put_str(num_text(v, buf));
}

/* ---- what is said --------------------------------------------------------------------------------- */

static const char *signal_name(int sig)
{
	switch (sig) {
	case SIGSEGV: return "SIGSEGV";
	case SIGBUS: return "SIGBUS";
	case SIGFPE: return "SIGFPE";
	case SIGILL: return "SIGILL";
	case SIGABRT: return "SIGABRT";
	default: return "?";
	}
}

static uintptr_t program_counter(const ucontext_t *u)
{
#if defined(__x86_64__)
	return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (uintptr_t)u->uc_mcontext.pc;
#else
	(void)u;
	return 0;
#endif
}

static uintptr_t stack_pointer(const ucontext_t *u)
{
#if defined(__x86_64__)
	return (uintptr_t)u->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
	return (uintptr_t)u->uc_mcontext.sp;
#else
	return (uintptr_t)u;
#endif
}

static void put_registers(const ucontext_t *u)
{
#if defined(__x86_64__)
	static const struct {
		const char	*name;
		int		n;
	} regs[] = {
		{ "rip", REG_RIP }, { "rsp", REG_RSP }, { "rbp", REG_RBP }, { "rax", REG_RAX }, { "rbx", REG_RBX },
		{ "rcx", REG_RCX }, { "rdx", REG_RDX }, { "rsi", REG_RSI }, { "rdi", REG_RDI }, { "r8", REG_R8 },
		{ "r9", REG_R9 }, { "r10", REG_R10 }, { "r11", REG_R11 }, { "r12", REG_R12 }, { "r13", REG_R13 },
		{ "r14", REG_R14 }, { "r15", REG_R15 }, { "err", REG_ERR },
	};

	put_str("registers");
	for (size_t i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		put_str(" ");
		put_str(regs[i].name);
		put_str("=");
		put_hex((uint64_t)u->uc_mcontext.gregs[regs[i].n]);
	}
	put_str("\n");
#elif defined(__aarch64__)
	put_str("registers pc=");
	put_hex(u->uc_mcontext.pc);
	put_str(" sp=");
	put_hex(u->uc_mcontext.sp);
	for (unsigned int i = 0; i < 31; i++) {
		put_str(" x");
		put_num(i);
		put_str("=");
		put_hex(u->uc_mcontext.regs[i]);
	}
	put_str("\n");
#else
	(void)u;
#endif
}

static void put_who(void)
{
	char name[17] = "";
	struct timespec ts = { .tv_sec = 0 };

	(void)prctl(PR_GET_NAME, name);
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	put_str("time ");
	put_num((uint64_t)ts.tv_sec);
	put_str(" pid ");
	put_num((uint64_t)getpid());
	put_str(" tid ");
	put_num((uint64_t)syscall(SYS_gettid));
	put_str(" thread ");
	put_str(name);
	put_str("\n");
}

/* "  0x7f… /usr/lib/….so+0x12" */
static void put_place(uintptr_t addr)
{
	const struct crash_range *r = crash_maps_find(&CRASH_PAGE->maps, addr);

	put_str("  ");
	put_hex(addr);
	if (r) {
		put_str(" ");
		put(r->path, r->path_len);
		put_str("+");
		put_hex(addr - r->base);
	}
	put_str("\n");
}

static void put_objects(void)
{
	const struct crash_maps *m = &CRASH_PAGE->maps;
	uintptr_t last = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		const struct crash_range *r = &m->range[i];
		char id[65];

		if (r->path[0] != '/' || r->base == last)
			continue;
		last = r->base;
		crash_build_id(r->base, id);
		put_str("object ");
		put_hex(r->base);
		put_str(" build-id ");
		put_str(id);
		put_str(" ");
		put(r->path, r->path_len);
		put_str("\n");
	}
}

/* Every word of the stack that could be a return address: more than the truth, but never less. */
static void put_words(uintptr_t sp)
{
	struct crash_page *page = CRASH_PAGE;
	uint32_t n = 0;

	sp &= ~(sizeof(uintptr_t) - 1);
	put_str("words of the stack that point into code\n");
	for (size_t done = 0; done < WORDS_BYTES && n < WORDS_MAX;) {
		/* to the end of the page: the next may not be there */
		size_t len = sizeof(page->words) - (sp + done) % sizeof(page->words);

		if (!crash_peek(sp + done, page->words, len))
			return;
		for (size_t i = 0; i + sizeof(uintptr_t) <= len && n < WORDS_MAX; i += sizeof(uintptr_t)) {
			uintptr_t v;

			memcpy(&v, page->words + i, sizeof(v));
			if (crash_maps_find(&page->maps, v)) {
				put_place(v);
				n++;
			}
		}
		done += len;
	}
}

/* From where it happened on: what is before is this handler. */
struct frames {
	uintptr_t	pc;
	bool		begun;
	uint32_t	n;
};

static _Unwind_Reason_Code put_frame(struct _Unwind_Context *u, void *arg)
{
	struct frames *f = arg;
	int before = 0;
	uintptr_t ip = (uintptr_t)_Unwind_GetIPInfo(u, &before);

	if (!ip || f->n == FRAMES_MAX)
		return _URC_END_OF_STACK;
	f->begun = f->begun || ip == f->pc;
	if (f->begun) {
		/* A return address may be the first byte of the next function. */
		put_place(before ? ip : ip - 1);
		f->n++;
	}
	return _URC_NO_REASON;
}

static void put_frames(uintptr_t pc, uintptr_t sp)
{
	struct frames f = { .pc = pc };
	uintptr_t caller;

	put_str("frames\n");
	if (!crash_maps_find(&CRASH_PAGE->maps, pc)) {
		/* A jump to nowhere: who called stands on top of the stack, but nothing can be unwound. */
		put_place(pc);
		if (crash_peek(sp, &caller, sizeof(caller)))
			put_place(caller - 1);
		return;
	}
	(void)_Unwind_Backtrace(put_frame, &f);
	if (!f.n)
		put_place(pc);
}

/* ---- the handler ------------------------------------------------------------------------------------ */

static void report_open(struct crash_page *page)
{
	char name[1200];
	char buf[24];
	struct timespec ts = { .tv_sec = 0 };
	size_t len = strlen(page->dir);

	page->fd = page->given ? page->given : -1;
	if (page->given || !len)
		return;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	memcpy(name, page->dir, len + 1);
	strcat(name, "/");
	strcat(name, num_text((uint64_t)ts.tv_sec, buf));
	strcat(name, "-");
	strcat(name, num_text((uint64_t)getpid(), buf));
	strcat(name, ".new");
	page->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* Ten seconds, whatever hangs. */
static void deadline_set(void)
{
	sigset_t only;

	(void)signal(SIGALRM, SIG_DFL);
	(void)sigemptyset(&only);
	(void)sigaddset(&only, SIGALRM);
	(void)sigprocmask(SIG_UNBLOCK, &only, NULL);
	(void)alarm(SECONDS);
}

static void die(int sig)
{
	(void)signal(sig, SIG_DFL);
	/* Sent anew to this thread: a fault would repeat by itself, abort() would not. */
	(void)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
}

static void crashed(int sig, siginfo_t *si, void *context)
{
	struct crash_page *page = CRASH_PAGE;
	const ucontext_t *u = context;
	uintptr_t pc = program_counter(u);
	int self = (int)syscall(SYS_gettid);
	int none = 0;

	if (!atomic_compare_exchange_strong(&page->tid, &none, self)) {
		/* A fault in here, or another thread that comes later: its end is near anyway. */
		while (none != self)
			(void)pause();
		put_str("and again: the report ends here\n");
		(void)signal(SIGABRT, SIG_DFL);
		die(sig);
		return;
	}
	for (size_t i = 0; i < N_SIGNALS; i++) {
		sigset_t one;

		/* A fault while its signal is blocked would end it without the line above. */
		(void)sigemptyset(&one);
		(void)sigaddset(&one, signals[i]);
		(void)sigprocmask(SIG_UNBLOCK, &one, NULL);
	}
	deadline_set();
	report_open(page);
	put_str("orlopd crashed: signal ");
	put_num((uint64_t)sig);
	put_str(" ");
	put_str(signal_name(sig));
	put_str(si->si_code <= 0 ? " sent by pid " : " address ");
	if (si->si_code <= 0)
		put_num((uint64_t)si->si_pid);
	else
		put_hex((uintptr_t)si->si_addr);
	put_str(" at ");
	put_hex(pc);
	put_str("\n");
	put_who();
	put(page->text, page->len);
	put_registers(u);
	crash_maps_read(&page->maps);
	put_str("at\n");
	put_place(pc);
	put_objects();
	put_words(stack_pointer(u));
	if (page->bus) {
		core_bus_dump(page->bus, 2);
		if (page->fd >= 0)
			core_bus_dump(page->bus, page->fd);
	}
	put_frames(pc, stack_pointer(u));
	put_str("end of the report\n");
	if (page->fd >= 0)
		(void)fsync(page->fd);
	die(sig);
}

/* ---- life ----------------------------------------------------------------------------------------------- */

void core_crash_update(struct core *c)
{
	struct crash_page *page = CRASH_PAGE;
	size_t at = 0;

	if (SANITIZED || !c->crash)
		return;
	page->len = 0;
	at += (size_t)snprintf(page->text, sizeof(page->text), "orlopd %s ABI %u.%u\n", ORLOP_VERSION,
			       ORLOP_ABI_MAJOR, ORLOP_ABI_MINOR);
	OLIST_FOREACH(n, &c->instances) {
		struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);
		struct link_map_head {
			uintptr_t addr;	/* where the file is mapped: the first member of struct link_map */
		} *map;

		if (!inst->image || !inst->image->handle || sizeof(page->text) - at < 1400)
			continue;
		map = inst->image->handle;
		at += (size_t)snprintf(page->text + at, sizeof(page->text) - at, "module %.100s %.40s ABI %u.%u "
				       "build-id %s base 0x%llx path %.1000s\n", inst->name,
				       inst->image->info.version,
				       inst->image->info.abi_major, inst->image->info.abi_minor,
				       inst->image->info.build_id[0] ? inst->image->info.build_id : "none",
				       (unsigned long long)map->addr, inst->image->path);
	}
	page->len = at;
}

/* Is the memory there, and ours? Without touching it. */
static bool page_there(void)
{
	return !SANITIZED && msync(CRASH_PAGE, 4096, MS_ASYNC) == 0 && CRASH_PAGE->magic == MAGIC;
}

static bool page_get(void)
{
	if (page_there())
		return true;
	if (SANITIZED || mmap(CRASH_PAGE, sizeof(struct crash_page), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) !=
			 (void *)CRASH_PAGE)
		return false;		/* taken: then without last words */
	CRASH_PAGE->magic = MAGIC;
	CRASH_PAGE->fd = -1;
	(void)core_crash_thread_begin();	/* the calling thread's, for ever */
	return true;
}

static _Unwind_Reason_Code frame_none(struct _Unwind_Context *u, void *arg)
{
	(void)u;
	(void)arg;
	return _URC_END_OF_STACK;
}

void core_crash_report_to(int fd)
{
	if (page_there())
		CRASH_PAGE->given = fd;
}

void core_crash_start(struct core *c)
{
	struct sigaction sa;

	if (!page_get() || !c)
		return;
	c->crash = true;
	CRASH_PAGE->bus = c->bus;
	if (c->config->data_dir && (size_t)snprintf(CRASH_PAGE->dir, sizeof(CRASH_PAGE->dir), "%s/crash",
						     c->config->data_dir) >= sizeof(CRASH_PAGE->dir))
		CRASH_PAGE->dir[0] = '\0';
	if (CRASH_PAGE->dir[0] && mkdir(CRASH_PAGE->dir, 0700) && errno != EEXIST)
		CRASH_PAGE->dir[0] = '\0';
	core_crash_update(c);
	/* What the unwinder does once, it does here. */
	(void)_Unwind_Backtrace(frame_none, NULL);
	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = crashed;
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigfillset(&sa.sa_mask);
	for (size_t i = 0; i < N_SIGNALS; i++)
		(void)sigaction(signals[i], &sa, NULL);
}

void core_crash_stop(void)
{
	for (size_t i = 0; i < N_SIGNALS; i++)
		(void)signal(signals[i], SIG_DFL);
}

int core_crash_thread_begin(void)
{
	stack_t ss = { .ss_size = STACK_BYTES };
	uint64_t taken;
	int slot;

	if (!page_there())
		return -1;
	taken = atomic_load(&CRASH_PAGE->stacks_taken);
	do {
		if (taken == UINT64_MAX)
			return -1;	/* so many threads: this one says nothing when its stack is full */
		slot = __builtin_ctzll(~taken);
	} while (!atomic_compare_exchange_weak(&CRASH_PAGE->stacks_taken, &taken, taken | UINT64_C(1) << slot));
	ss.ss_sp = CRASH_PAGE->stacks[slot];
	(void)sigaltstack(&ss, NULL);
	return slot;
}

void core_crash_thread_end(int slot)
{
	const stack_t none = { .ss_flags = SS_DISABLE };

	if (slot < 0)
		return;
	(void)sigaltstack(&none, NULL);
	atomic_fetch_and(&CRASH_PAGE->stacks_taken, ~(UINT64_C(1) << slot));
}

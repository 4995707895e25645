/*
 * crash.c - on SIGSEGV and the like: what ran (version, modules with ABI and build-id), the last bus
 * messages per module, then the default action with its core dump.
 *
 * A signal handler is given no pointer and the core has no static variable, so what it prints stands
 * in a page at an address of its own, written beforehand: the handler formats nothing.
 */
#include "crash.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "bus/bus.h"
#include "loader.h"

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

struct crash_page {
	struct core_bus	*bus;
	size_t		len;
	char		text[8192 - 2 * sizeof(void *)];
};

static void put(const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(2, p, len);

		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

static void put_hex(uintptr_t v)
{
	char buf[2 + 2 * sizeof(v)];
	size_t at = sizeof(buf);

	do {
		buf[--at] = "0123456789abcdef"[v & 15];
		v >>= 4;
	} while (v && at > 2);
	buf[--at] = 'x';
	buf[--at] = '0';
	put(buf + at, sizeof(buf) - at);
}

static uintptr_t program_counter(void *context)
{
#if defined(__x86_64__)
	return (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (uintptr_t)((ucontext_t *)context)->uc_mcontext.pc;
#else
	(void)context;
	return 0;
#endif
}

static void crashed(int sig, siginfo_t *si, void *context)
{
	struct crash_page *page = CRASH_PAGE;
	struct sigaction dfl;
	char number[2] = { (char)('0' + sig / 10), (char)('0' + sig % 10) };

	/* SA_RESETHAND: a second fault in here ends it at once. */
	put("orlopd crashed: signal ", 23);
	put(number, 2);
	put(" address ", 9);
	put_hex((uintptr_t)si->si_addr);
	put(" at ", 4);
	put_hex(program_counter(context));
	put("\n", 1);
	put(page->text, page->len);
	if (page->bus)
		core_bus_dump(page->bus, 2);
	memset(&dfl, 0, sizeof(dfl));
	dfl.sa_handler = SIG_DFL;
	(void)sigaction(sig, &dfl, NULL);
	/* Sent anew to this thread: a fault would repeat by itself, abort() would not. */
	(void)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
}

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

		if (!inst->image || sizeof(page->text) - at < 400)
			continue;
		map = inst->image->handle;
		at += (size_t)snprintf(page->text + at, sizeof(page->text) - at, "module %.100s %.40s ABI %u.%u "
				       "build-id %s base 0x%llx\n", inst->name, inst->image->info.version,
				       inst->image->info.abi_major, inst->image->info.abi_minor,
				       inst->image->info.build_id[0] ? inst->image->info.build_id : "none",
				       (unsigned long long)map->addr);
	}
	page->len = at;
}

void core_crash_start(struct core *c)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	struct sigaction sa;

	if (SANITIZED)
		return;
	if (mmap(CRASH_PAGE, sizeof(struct crash_page), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)CRASH_PAGE)
		return;		/* taken: then without last words */
	c->crash = true;
	CRASH_PAGE->bus = c->bus;
	core_crash_update(c);
	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = crashed;
	sa.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK;
	sigfillset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &sa, NULL);
}

void core_crash_stop(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)signal(signals[i], SIG_DFL);
}

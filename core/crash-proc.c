/*
 * crash-proc.c - maps and memory of a dying process, without trusting either.
 */
#include "crash-proc.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * Through a pipe: write() says EFAULT of what is not there. For the process of an isolated module, which
 * may not look into processes, not even into itself.
 */
static bool peek_by_pipe(uintptr_t addr, char *buf, size_t len)
{
	bool there = true;
	int p[2];

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK))
		return false;
	for (size_t done = 0; there && done < len;) {
		size_t part = len - done < PIPE_BUF ? len - done : PIPE_BUF;

		there = write(p[1], (const void *)(addr + done), part) == (ssize_t)part &&
			read(p[0], buf + done, part) == (ssize_t)part;
		done += part;
	}
	(void)close(p[0]);
	(void)close(p[1]);
	return there;
}

bool crash_peek(uintptr_t addr, void *buf, size_t len)
{
	struct iovec to = { .iov_base = buf, .iov_len = len };
	struct iovec from = { .iov_base = (void *)addr, .iov_len = len };

	/* A system call refuses what a load would die of. */
	if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)len)
		return true;
	return errno != EFAULT && peek_by_pipe(addr, buf, len);
}

static uintptr_t hex_take(const char **p, const char *end)
{
	uintptr_t v = 0;

	for (; *p < end; ++*p) {
		char ch = **p;

		if (ch >= '0' && ch <= '9')
			v = v << 4 | (uintptr_t)(ch - '0');
		else if (ch >= 'a' && ch <= 'f')
			v = v << 4 | (uintptr_t)(ch - 'a' + 10);
		else
			break;
	}
	return v;
}

static const char *field_skip(const char *p, const char *end)
{
	while (p < end && *p != ' ')
		p++;
	while (p < end && *p == ' ')
		p++;
	return p;
}

/* "start-end perms offset dev inode   path" */
static void line_take(struct crash_maps *m, const char *p, const char *end, struct crash_range *last)
{
	struct crash_range r;
	uintptr_t offset;
	bool code;

	r.start = hex_take(&p, end);
	p++;
	r.end = hex_take(&p, end);
	p = field_skip(p, end);
	code = end - p > 3 && p[2] == 'x';
	p = field_skip(p, end);
	offset = hex_take(&p, end);
	p = field_skip(field_skip(field_skip(p, end), end), end);
	r.path = p;
	r.path_len = (uint32_t)(end - p);
	/* A module: mapped from a private copy that is called like its file, "/memfd:/usr/…/x.so (deleted)". */
	if (r.path_len > 8 + 10 && memcmp(r.path, "/memfd:/", 8) == 0) {
		r.path += 7;
		r.path_len -= 7 + 10;
	}
	r.base = r.start - offset;
	if (r.path_len && offset && last->path_len == r.path_len && !memcmp(last->path, r.path, r.path_len))
		r.base = last->base;
	else if (r.path_len)
		*last = r;
	if (code && r.path_len && m->n < CRASH_RANGES_MAX)
		m->range[m->n++] = r;
}

void crash_maps_read(struct crash_maps *m)
{
	struct crash_range last = { .path_len = 0 };
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	const char *p = m->text;
	const char *end;
	ssize_t n;

	m->n = 0;
	if (fd < 0)
		return;
	while (len < sizeof(m->text) && (n = read(fd, m->text + len, sizeof(m->text) - len)) > 0)
		len += (size_t)n;
	(void)close(fd);
	while ((end = memchr(p, '\n', len - (size_t)(p - m->text))) != NULL) {
		line_take(m, p, end, &last);
		p = end + 1;
	}
}

const struct crash_range *crash_maps_find(const struct crash_maps *m, uintptr_t addr)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (addr >= m->range[i].start && addr < m->range[i].end)
			return &m->range[i];
	return NULL;
}

static void hex_put(char *out, const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		*out++ = "0123456789abcdef"[p[i] >> 4];
		*out++ = "0123456789abcdef"[p[i] & 15];
	}
	*out = '\0';
}

/* The notes of one segment; true: found. */
static bool notes_look(uintptr_t at, size_t len, char out[65])
{
	while (len >= sizeof(ElfW(Nhdr))) {
		ElfW(Nhdr) h;
		size_t name;
		size_t desc;
		unsigned char id[32];

		if (!crash_peek(at, &h, sizeof(h)))
			return false;
		name = (h.n_namesz + 3u) & ~(size_t)3;
		desc = (h.n_descsz + 3u) & ~(size_t)3;
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == 4 && h.n_descsz <= sizeof(id) &&
		    crash_peek(at + sizeof(h) + name, id, h.n_descsz)) {
			hex_put(out, id, h.n_descsz);
			return true;
		}
		if (sizeof(h) + name + desc > len)
			return false;
		at += sizeof(h) + name + desc;
		len -= sizeof(h) + name + desc;
	}
	return false;
}

void crash_build_id(uintptr_t base, char out[65])
{
	ElfW(Ehdr) eh;
	ElfW(Phdr) ph;

	strcpy(out, "none");
	if (!crash_peek(base, &eh, sizeof(eh)) || memcmp(eh.e_ident, ELFMAG, SELFMAG))
		return;
	for (unsigned int i = 0; i < eh.e_phnum && i < 64; i++)
		if (crash_peek(base + eh.e_phoff + i * sizeof(ph), &ph, sizeof(ph)) && ph.p_type == PT_NOTE &&
		    notes_look(base + ph.p_vaddr, ph.p_memsz, out))
			return;
}

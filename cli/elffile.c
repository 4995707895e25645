/*
 * elffile.c - a 64-bit shared object of this machine's kind, read through its section headers, each offset checked.
 */
#include "elffile.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* crtstuff leaves a byte or a word of its own in .bss, and a pointer to itself in .data. */
#define CRT_BYTES	24u

static const void *at(const struct elffile *e, uint64_t off, uint64_t len)
{
	return off <= e->size && len <= e->size - off ? e->map + off : NULL;
}

/* The same for a table: the map begins at a page, so an even offset is an even address. */
static const void *table_at(const struct elffile *e, uint64_t off, uint64_t len)
{
	return off % 8 == 0 ? at(e, off, len) : NULL;
}

/* A string of a string table; "" if it lies outside. */
static const char *text(const struct elffile *e, const Elf64_Shdr *tab, uint64_t off)
{
	const char *p = off < tab->sh_size ? at(e, tab->sh_offset, tab->sh_size) : NULL;

	return p && memchr(p + off, '\0', tab->sh_size - off) ? p + off : "";
}

static void look_dynamic(struct elffile *e, const Elf64_Shdr *s, const Elf64_Shdr *strings)
{
	const Elf64_Dyn *d = table_at(e, s->sh_offset, s->sh_size);

	for (uint64_t i = 0; d && i < s->sh_size / sizeof(*d) && d[i].d_tag != DT_NULL; i++) {
		if (d[i].d_tag == DT_NEEDED) {
			const char *name = text(e, strings, d[i].d_un.d_val);

			obuf_append(&e->needed, name, strlen(name) + 1);
		}
		e->rpath |= d[i].d_tag == DT_RPATH || d[i].d_tag == DT_RUNPATH;
		e->bind_now |= d[i].d_tag == DT_BIND_NOW || (d[i].d_tag == DT_FLAGS && (d[i].d_un.d_val & DF_BIND_NOW)) ||
			       (d[i].d_tag == DT_FLAGS_1 && (d[i].d_un.d_val & DF_1_NOW));
	}
}

static void look_symbols(struct elffile *e, const Elf64_Shdr *s, const Elf64_Shdr *strings)
{
	const Elf64_Sym *y = table_at(e, s->sh_offset, s->sh_size);

	for (uint64_t i = 1; y && i < s->sh_size / sizeof(*y); i++) {
		const char *name = text(e, strings, y[i].st_name);

		if (y[i].st_shndx == SHN_UNDEF || ELF64_ST_BIND(y[i].st_info) == STB_LOCAL || !*name ||
		    strcmp(name, "_init") == 0 || strcmp(name, "_fini") == 0)
			continue;
		obuf_append(&e->exports, name, strlen(name) + 1);
	}
}

static void look_segments(struct elffile *e, const Elf64_Ehdr *h)
{
	const Elf64_Phdr *p = table_at(e, h->e_phoff, (uint64_t)h->e_phnum * sizeof(*p));

	for (unsigned i = 0; p && i < h->e_phnum; i++) {
		e->relro |= p[i].p_type == PT_GNU_RELRO;
		e->exec_stack |= p[i].p_type == PT_GNU_STACK && (p[i].p_flags & PF_X);
	}
}

static int look(struct elffile *e, const char *path, struct orlop_error *err)
{
	const Elf64_Ehdr *h = at(e, 0, sizeof(*h));
	const Elf64_Shdr *s;

	if (!h || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
		return orlop_fail(err, ENOEXEC, 0, "", "%s: no shared object", path);
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_type != ET_DYN)
		return orlop_fail(err, ENOEXEC, 0, "", "%s: not a 64-bit shared object", path);
	s = h->e_shentsize == sizeof(*s) ? table_at(e, h->e_shoff, (uint64_t)h->e_shnum * sizeof(*s)) : NULL;
	if (!s || h->e_shstrndx >= h->e_shnum)
		return orlop_fail(err, ENOEXEC, 0, "", "%s: has no section headers", path);
	look_segments(e, h);
	for (unsigned i = 0; i < h->e_shnum; i++) {
		const char *name = text(e, &s[h->e_shstrndx], s[i].sh_name);
		const Elf64_Shdr *strings = s[i].sh_link < h->e_shnum ? &s[s[i].sh_link] : &s[0];

		if (s[i].sh_type == SHT_DYNAMIC)
			look_dynamic(e, &s[i], strings);
		else if (s[i].sh_type == SHT_DYNSYM)
			look_symbols(e, &s[i], strings);
		else if (strcmp(name, ".orlop.modinfo") == 0)
			e->modinfo = at(e, s[i].sh_offset, s[i].sh_size), e->modinfo_len = e->modinfo ? s[i].sh_size : 0;
		else if (strcmp(name, ".note.gnu.build-id") == 0)
			e->build_id = true;
		else if ((s[i].sh_flags & (SHF_ALLOC | SHF_WRITE)) == (SHF_ALLOC | SHF_WRITE) &&
			 (strcmp(name, ".data") == 0 || strcmp(name, ".bss") == 0 || (s[i].sh_flags & SHF_TLS)))
			e->writable_bytes += s[i].sh_size;
	}
	e->writable_bytes = e->writable_bytes > CRT_BYTES ? e->writable_bytes - CRT_BYTES : 0;
	return 0;
}

int elffile_open(const char *path, struct elffile *ret, struct orlop_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	memset(ret, 0, sizeof(*ret));
	obuf_init(&ret->needed);
	obuf_init(&ret->exports);
	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "%s: %s", path, strerrordesc_np(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size == 0) {
		close(fd);
		return orlop_fail(err, ENOEXEC, 0, "", "%s: no shared object", path);
	}
	ret->map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (ret->map == MAP_FAILED) {
		ret->map = NULL;
		return orlop_fail(err, errno, 0, "", "%s: %s", path, strerrordesc_np(errno));
	}
	ret->size = (size_t)st.st_size;
	return look(ret, path, err);
}

void elffile_done(struct elffile *e)
{
	if (e->map)
		(void)munmap(e->map, e->size);
	obuf_done(&e->needed);
	obuf_done(&e->exports);
	e->map = NULL;
}

const char *elffile_modinfo(const struct elffile *e, const char *key)
{
	size_t n = strlen(key);
	const char *p = e->modinfo, *end = p ? p + e->modinfo_len : NULL;

	while (p && p < end) {
		const char *nul = memchr(p, '\0', (size_t)(end - p));

		if (!nul)
			break;
		if ((size_t)(nul - p) > n && memcmp(p, key, n) == 0 && p[n] == '=')
			return p + n + 1;
		p = nul + 1;
	}
	return "";
}

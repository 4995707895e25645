/*
 * modinfo.c - finding the section .orlop.modinfo in an ELF file that nobody vouches for.
 *
 * Everything is read with pread at offsets that were checked against the file's size; nothing is
 * mapped (a file that shrinks would kill us) and no field is believed before it has been compared.
 */
#include "modinfo.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/module.h>

#include "asks.h"
#include "base/ocleanup.h"
#include "base/oenc.h"
#include "base/omem.h"
#include "wants.h"

#define SECTIONS_MAX		4096u
#define STRINGS_MAX_BYTES	(1u << 20)
#define LIST_MAX		64u

#if defined(__x86_64__)
#define MACHINE		EM_X86_64
#elif defined(__aarch64__)
#define MACHINE		EM_AARCH64
#elif defined(__riscv)
#define MACHINE		EM_RISCV
#elif defined(__powerpc64__)
#define MACHINE		EM_PPC64
#elif defined(__s390x__)
#define MACHINE		EM_S390
#elif defined(__i386__)
#define MACHINE		EM_386
#elif defined(__arm__)
#define MACHINE		EM_ARM
#else
#define MACHINE		EM_NONE
#endif

#if UINTPTR_MAX > UINT32_MAX
#define CLASS		ELFCLASS64
#define CLASS_BITS	64
typedef Elf64_Ehdr Ehdr;
typedef Elf64_Shdr Shdr;
typedef Elf64_Dyn Dyn;
#else
#define CLASS		ELFCLASS32
#define CLASS_BITS	32
typedef Elf32_Ehdr Ehdr;
typedef Elf32_Shdr Shdr;
typedef Elf32_Dyn Dyn;
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define DATA		ELFDATA2LSB
#else
#define DATA		ELFDATA2MSB
#endif

/* A file or memory. */
struct src {
	int		fd;
	const char	*mem;
	uint64_t	size;
	const char	*file;
	struct orlop_error *err;
};

__attribute__((format(printf, 3, 4)))
static int refuse(const struct src *s, int e, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return orlop_fail(s->err, e, 0, "", "%s: %s", s->file, what);
}

/* @len bytes at @off; the caller's checks are not trusted either. */
static int get(const struct src *s, uint64_t off, uint64_t len, void *out)
{
	char *p = out;

	if (off > s->size || len > s->size - off)
		return refuse(s, ENOEXEC, "truncated: needs %llu bytes at %llu, the file has %llu; build or copy it again",
			      (unsigned long long)len, (unsigned long long)off,
			      (unsigned long long)s->size);
	if (s->mem) {
		memcpy(p, s->mem + off, len);
		return 0;
	}
	while (len > 0) {
		ssize_t n = pread(s->fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return refuse(s, errno, "cannot be read: %s", strerrordesc_np(errno));
		if (n == 0)
			return refuse(s, ENOEXEC, "became shorter while it was read");
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

/* @len bytes at @off in fresh memory, with a NUL behind. */
static int get_text(const struct src *s, uint64_t off, uint64_t len, char **ret)
{
	char *p = omem_alloc(len + 1);
	int r;

	if (!p)
		return refuse(s, ENOMEM, "out of memory");
	r = get(s, off, len, p);
	if (r) {
		omem_free(p);
		return r;
	}
	p[len] = '\0';
	*ret = p;
	return 0;
}

static int read_header(const struct src *s, Ehdr *h)
{
	unsigned char id[EI_NIDENT];
	int r;

	if (s->size < sizeof(id))
		return refuse(s, ENOEXEC, "not a module: %llu bytes are no ELF file; name the .so that was built",
			      (unsigned long long)s->size);
	r = get(s, 0, sizeof(id), id);
	if (r)
		return r;
	if (memcmp(id, ELFMAG, SELFMAG) != 0)
		return refuse(s, ENOEXEC, "not a module: no ELF file; name the .so that was built");
	if (id[EI_CLASS] != CLASS)
		return refuse(s, ENOEXEC, "built for %s bits, this orlopd has %d",
			      id[EI_CLASS] == ELFCLASS32 ? "32" : id[EI_CLASS] == ELFCLASS64 ? "64" :
			      "unknown", CLASS_BITS);
	if (id[EI_DATA] != DATA)
		return refuse(s, ENOEXEC, "built for a machine of the other byte order");
	r = get(s, 0, sizeof(*h), h);
	if (r)
		return r;
	if (h->e_machine != MACHINE)
		return refuse(s, ENOEXEC, "built for machine %u, this is machine %u", h->e_machine, MACHINE);
	if (h->e_type != ET_DYN)
		return refuse(s, ENOEXEC, "not a shared object: ELF type %u, want %u", h->e_type, ET_DYN);
	if (h->e_shoff == 0 || h->e_shnum == 0)
		return refuse(s, ENOEXEC, "not a module: no section headers, so no .orlop.modinfo");
	if (h->e_shentsize != sizeof(Shdr))
		return refuse(s, ENOEXEC, "damaged: section headers of %u bytes, want %zu", h->e_shentsize,
			      sizeof(Shdr));
	if (h->e_shnum > SECTIONS_MAX)
		return refuse(s, E2BIG, "damaged: %u sections, at most %u", h->e_shnum, SECTIONS_MAX);
	if (h->e_shstrndx >= h->e_shnum)
		return refuse(s, ENOEXEC, "damaged: section names in section %u of %u", h->e_shstrndx,
			      h->e_shnum);
	return 0;
}

/* The needed libraries: anything but the C library may have destructors that outlive an unmapping. */
static int read_needed(const struct src *s, const Shdr *sh, const Shdr *all, uint32_t n, bool *ret)
{
	static const char *const plain[] = { "libc.", "libm.", "libpthread.", "libdl.", "librt.",
					     "libgcc_s.", "ld-linux", "ld-musl" };
	cleanup_free char *strings = NULL;
	const Shdr *str;
	int r;

	*ret = false;
	if (sh->sh_link >= n)
		return refuse(s, ENOEXEC, "damaged: dynamic strings in section %u of %u", sh->sh_link, n);
	str = &all[sh->sh_link];
	if (str->sh_size > STRINGS_MAX_BYTES || sh->sh_size > STRINGS_MAX_BYTES)
		return 0;	/* a giant of a library: keep it mapped */
	r = get_text(s, str->sh_offset, str->sh_size, &strings);
	if (r)
		return r;
	*ret = true;
	for (uint64_t off = 0; off + sizeof(Dyn) <= sh->sh_size; off += sizeof(Dyn)) {
		bool known = false;
		Dyn d;

		r = get(s, sh->sh_offset + off, sizeof(d), &d);
		if (r)
			return r;
		if (d.d_tag == DT_NULL)
			break;
		if (d.d_tag != DT_NEEDED)
			continue;
		if (d.d_un.d_val >= str->sh_size)
			return refuse(s, ENOEXEC, "damaged: library name at %llu of %llu",
				      (unsigned long long)d.d_un.d_val, (unsigned long long)str->sh_size);
		for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
			if (strncmp(strings + d.d_un.d_val, plain[i], strlen(plain[i])) == 0)
				known = true;
		*ret = *ret && known;
	}
	return 0;
}

static int read_build_id(const struct src *s, const Shdr *sh, struct core_modinfo *m)
{
	unsigned char note[16 + 32];
	uint32_t words[3];
	int r;

	if (sh->sh_size < 16 || sh->sh_size > sizeof(note))
		return 0;
	r = get(s, sh->sh_offset, sh->sh_size, note);
	if (r)
		return r;
	memcpy(words, note, sizeof(words));
	if (words[0] == 4 && words[1] <= sh->sh_size - 16)
		ohex_encode(note + 16, words[1], m->build_id);
	return 0;
}

static int read_sections(const struct src *s, struct core_modinfo *m)
{
	cleanup_free Shdr *all = NULL;
	cleanup_free char *names = NULL;
	const Shdr *info = NULL;
	const Shdr *dynamic = NULL;
	Ehdr h;
	int r;

	r = read_header(s, &h);
	if (r)
		return r;
	all = omem_alloc_array(h.e_shnum, sizeof(Shdr));
	if (!all)
		return refuse(s, ENOMEM, "out of memory");
	r = get(s, h.e_shoff, (uint64_t)h.e_shnum * sizeof(Shdr), all);
	if (r)
		return r;
	if (all[h.e_shstrndx].sh_size > STRINGS_MAX_BYTES)
		return refuse(s, E2BIG, "damaged: %llu bytes of section names",
			      (unsigned long long)all[h.e_shstrndx].sh_size);
	r = get_text(s, all[h.e_shstrndx].sh_offset, all[h.e_shstrndx].sh_size, &names);
	if (r)
		return r;
	for (uint32_t i = 0; i < h.e_shnum; i++) {
		if (all[i].sh_type == SHT_DYNAMIC)
			dynamic = &all[i];
		if (all[i].sh_name >= all[h.e_shstrndx].sh_size)
			continue;
		if (strcmp(names + all[i].sh_name, ".orlop.modinfo") == 0)
			info = &all[i];
		if (strcmp(names + all[i].sh_name, ".note.gnu.build-id") == 0) {
			r = read_build_id(s, &all[i], m);
			if (r)
				return r;
		}
	}
	if (!info || info->sh_type == SHT_NOBITS)
		return refuse(s, ENOEXEC, "not an orlop module: no section .orlop.modinfo; a module says ORLOP_MODULE(...)");
	if (info->sh_size > CORE_MODINFO_MAX_BYTES)
		return refuse(s, E2BIG, ".orlop.modinfo has %llu bytes, at most %u",
			      (unsigned long long)info->sh_size, CORE_MODINFO_MAX_BYTES);
	if (dynamic) {
		r = read_needed(s, dynamic, all, h.e_shnum, &m->plain_libs);
		if (r)
			return r;
	}
	m->len = (uint32_t)info->sh_size;
	return get_text(s, info->sh_offset, info->sh_size, &m->text);
}

/* ---- the strings -------------------------------------------------------------------------------- */

static const char *value_of(const struct core_modinfo *m, const char *key)
{
	size_t k = strlen(key);

	for (uint32_t off = 0; off < m->len; off += (uint32_t)strlen(m->text + off) + 1)
		if (strncmp(m->text + off, key, k) == 0 && m->text[off + k] == '=')
			return m->text + off + k + 1;
	return NULL;
}

/* An address or a name: what may stand in a log line and a file name. */
static bool word_ok(const char *s, const char *more)
{
	size_t n = strlen(s);

	if (n == 0 || n > 128)
		return false;
	for (; *s; s++)
		if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') && !(*s >= '0' && *s <= '9') &&
		    !strchr(more, *s))
			return false;
	return true;
}

static int split(const struct src *s, const char *key, const char *value, char ***ret)
{
	size_t n = 1;
	size_t len = value ? strlen(value) : 0;
	char **v;
	char *copy;

	for (size_t i = 0; i < len; i++)
		n += value[i] == ',';
	if (n > LIST_MAX)
		return refuse(s, E2BIG, ".orlop.modinfo: %s= has %zu entries, at most %u", key, n, LIST_MAX);
	/* One block: the pointers, then the text. */
	v = omem_zalloc((n + 1) * sizeof(*v) + len + 1);
	if (!v)
		return refuse(s, ENOMEM, "out of memory");
	*ret = v;
	if (len == 0)
		return 0;
	copy = (char *)(v + n + 1);
	memcpy(copy, value, len + 1);
	for (size_t i = 0; i < n; i++) {
		char *end = strchr(copy, ',');

		if (end)
			*end = '\0';
		if (!word_ok(copy, "/._-;:*=!$"))
			return refuse(s, ENOEXEC, ".orlop.modinfo: %s= has an entry that is no name", key);
		v[i] = copy;
		copy = end ? end + 1 : copy;
	}
	return 0;
}

static int read_number(const char **p, uint16_t *ret)
{
	uint32_t v = 0;

	if (**p < '0' || **p > '9')
		return -EINVAL;
	for (; **p >= '0' && **p <= '9'; (*p)++) {
		v = v * 10 + (uint32_t)(**p - '0');
		if (v > UINT16_MAX)
			return -EINVAL;
	}
	*ret = (uint16_t)v;
	return 0;
}

/* What it may do in a process of its own. */
static int read_rights(const struct src *s, struct core_modinfo *m)
{
	struct core_rights_text t = {
		.caps = value_of(m, "caps"), .files = value_of(m, "files"), .net = value_of(m, "net"),
		.exec = value_of(m, "exec"), .uid = value_of(m, "uid"), .memory = value_of(m, "memory"),
	};
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (core_rights_parse(&t, &m->rights, &err))
		return refuse(s, ENOEXEC, ".orlop.modinfo: %s", err.msg);
	return 0;
}

/* What it may ask the API for. */
static int read_asks(const struct src *s, struct core_modinfo *m)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_asks *a;
	int r = split(s, "asks", value_of(m, "asks"), &m->asks);

	if (r)
		return r;
	r = core_asks_parse(m->asks, &a, &err);
	if (r)
		return refuse(s, r == -ENOMEM ? ENOMEM : ENOEXEC, ".orlop.modinfo: %s", err.msg);
	core_asks_free(a);
	return 0;
}

static int read_strings(const struct src *s, struct core_modinfo *m)
{
	const char *abi = value_of(m, "abi");
	int r;

	m->name = value_of(m, "name");
	m->class_name = value_of(m, "class");
	m->version = value_of(m, "version");
	m->license = value_of(m, "license");
	m->user = value_of(m, "user");
	if (!abi || read_number(&abi, &m->abi_major) || *abi++ != '.' ||
	    read_number(&abi, &m->abi_minor) || *abi)
		return refuse(s, ENOEXEC, ".orlop.modinfo: no valid abi=MAJOR.MINOR");
	if (!m->name || !word_ok(m->name, "._-"))
		return refuse(s, ENOEXEC, ".orlop.modinfo: no valid name=");
	if (!m->class_name || !word_ok(m->class_name, "._-"))
		return refuse(s, ENOEXEC, ".orlop.modinfo: no valid class=");
	if (m->version && m->version[0] && !word_ok(m->version, "._-+~:"))
		return refuse(s, ENOEXEC, ".orlop.modinfo: version= is no version");
	if (m->user && !word_ok(m->user, "._-:/@"))
		return refuse(s, ENOEXEC, ".orlop.modinfo: user= is no name");
	/* The core gives these, and the API trusts some of them as it trusts itself. */
	if (m->user && (strncmp(m->user, "orlop:", 6) == 0 || strcmp(m->user, "system:apiserver") == 0))
		return refuse(s, ENOEXEC, ".orlop.modinfo: user=%s: a name of that kind is not for a module to take", m->user);
	if (!m->version)
		m->version = "";
	if (!m->license)
		m->license = "";
	r = split(s, "provides", value_of(m, "provides"), &m->provides);
	if (r == 0)
		r = split(s, "needs", value_of(m, "needs"), &m->needs);
	if (r == 0)
		r = split(s, "reads", value_of(m, "reads"), &m->reads);
	for (char **p = m->reads; r == 0 && *p; p++) {
		struct orlop_error err = ORLOP_ERROR_INIT;
		struct core_want *w;

		r = core_want_parse(*p, NULL, NULL, &w, &err);
		if (r)
			return refuse(s, r == -ENOMEM ? ENOMEM : ENOEXEC, ".orlop.modinfo: %s", err.msg);
		omem_free(w);
	}
	if (r == 0 && value_of(m, "asks"))
		r = read_asks(s, m);
	if (r == 0)
		r = read_rights(s, m);
	return r;
}

static int parse(const struct src *s, struct core_modinfo *ret)
{
	struct core_modinfo m = { .text = NULL };
	int r;

	if (s->size > CORE_MODULE_MAX_BYTES)
		return refuse(s, E2BIG, "%llu bytes, a module has at most %u",
			      (unsigned long long)s->size, CORE_MODULE_MAX_BYTES);
	r = read_sections(s, &m);
	if (r == 0)
		r = read_strings(s, &m);
	if (r) {
		core_modinfo_done(&m);
		return r;
	}
	*ret = m;
	return 0;
}

int core_modinfo_read(int fd, const char *file, struct core_modinfo *ret, struct orlop_error *err)
{
	struct src s = { .fd = fd, .file = file, .err = err };
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return refuse(&s, errno, "%s", strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode))
		return refuse(&s, ENOEXEC, "not a regular file; name the .so itself");
	s.size = (uint64_t)st.st_size;
	r = parse(&s, ret);
	if (r)
		return r;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	ret->size = st.st_size;
	ret->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	return 0;
}

int core_modinfo_parse(const void *p, size_t len, const char *file, struct core_modinfo *ret,
		       struct orlop_error *err)
{
	struct src s = { .fd = -1, .mem = p, .size = len, .file = file, .err = err };

	return parse(&s, ret);
}

void core_modinfo_done(struct core_modinfo *m)
{
	omem_free(m->text);
	omem_free(m->provides);
	omem_free(m->needs);
	omem_free(m->reads);
	omem_free(m->asks);
	memset(m, 0, sizeof(*m));
}

int core_modinfo_abi_check(const struct core_modinfo *m, const char *file, struct orlop_error *err)
{
	if (m->abi_major == ORLOP_ABI_MAJOR && m->abi_minor <= ORLOP_ABI_MINOR)
		return 0;
	if (m->abi_major > ORLOP_ABI_MAJOR ||
	    (m->abi_major == ORLOP_ABI_MAJOR && m->abi_minor > ORLOP_ABI_MINOR))
		return orlop_fail(err, ENOEXEC, 0, "", "%s: built for ABI %u.%u, this core provides "
				  "%u.%u; upgrade orlop or use a %s older than %s", file, m->abi_major,
				  m->abi_minor, ORLOP_ABI_MAJOR, ORLOP_ABI_MINOR, m->name,
				  m->version[0] ? m->version : "this");
	return orlop_fail(err, ENOEXEC, 0, "", "%s: built for ABI %u.%u, this core provides %u.%u; "
			  "use a %s newer than %s", file, m->abi_major, m->abi_minor, ORLOP_ABI_MAJOR,
			  ORLOP_ABI_MINOR, m->name, m->version[0] ? m->version : "this");
}

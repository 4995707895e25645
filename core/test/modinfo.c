/* test/modinfo.c - reading a module's file: a good one, and every way it can be damaged. */
#include "modinfo.h"

#include <elf.h>
#include <fcntl.h>

#include "kit.h"

static struct obuf file;
static size_t modinfo_at;	/* the section's header in the file */

static int parse(const void *p, size_t len, struct orlop_error *err)
{
	struct core_modinfo m;
	int r;

	*err = (struct orlop_error)ORLOP_ERROR_INIT;
	r = core_modinfo_parse(p, len, "x.so", &m, err);
	if (r == 0)
		core_modinfo_done(&m);
	return r;
}

/* The file with @len bytes at @off replaced; must be refused with a word of @says. */
static void hostile(const char *what, size_t off, const void *p, size_t len, const char *says)
{
	struct orlop_error err;
	char *copy = omem_dup(file.data, file.len);
	int r;

	memcpy(copy + off, p, len);
	r = parse(copy, file.len, &err);
	ok(r < 0 && strstr(err.msg, says) && strncmp(err.msg, "x.so: ", 6) == 0, "%s: %s", what, err.msg);
	omem_free(copy);
}

#define HOSTILE(what, type, base, member, value, says) \
	do { \
		__typeof__(((type *)0)->member) v_ = (value); \
		hostile(what, (base) + offsetof(type, member), &v_, sizeof(v_), says); \
	} while (0)

static void test_good(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_modinfo m;

	is_int(core_modinfo_parse(file.data, file.len, "good.so", &m, &err), 0, "a good module %s", err.msg);
	is_str(m.name, "good", "name");
	is_str(m.class_name, "test", "class");
	is_str(m.version, "1.2", "version");
	is_str(m.license, "Apache-2.0", "licence");
	is_str(m.user, "test:good", "user");
	is_str(m.provides[0], "echo", "provides one");
	is_str(m.provides[1], "test.echo", "and another");
	ok(m.provides[2] == NULL && m.needs[0] == NULL && m.reads[0] == NULL, "needs nothing, reads nothing");
	is_int(m.abi_major, ORLOP_ABI_MAJOR, "ABI major");
	is_int(m.abi_minor, ORLOP_ABI_MINOR, "ABI minor");
	is_int(core_modinfo_abi_check(&m, "good.so", &err), 0, "which this core provides");
	m.abi_minor = ORLOP_ABI_MINOR + 4;
	is_int(core_modinfo_abi_check(&m, "good.so", &err), -ENOEXEC, "a newer minor is refused");
	m.abi_major = ORLOP_ABI_MAJOR + 1;
	m.abi_minor = 0;
	is_int(core_modinfo_abi_check(&m, "good.so", &err), -ENOEXEC, "another major too");
	core_modinfo_done(&m);
	core_modinfo_done(&m);
}

static void test_truncated(void)
{
	struct orlop_error err;
	int passed = 0;
	int silent = 0;

	for (size_t len = 0; len < file.len; len += len < 256 || file.len - len < 8192 ? 1 : 97) {
		/* A block of its own, so that a sanitizer sees a byte too far. */
		char *copy = omem_dup(file.data, len);
		int r = parse(copy, len, &err);

		passed += r == 0;
		silent += r < 0 && !err.msg[0];
		omem_free(copy);
	}
	is_int(passed, 0, "cut anywhere it is refused");
	is_int(silent, 0, "and never without a word");
}

static void test_flipped(void)
{
	struct orlop_error err;
	uint64_t seed = 4711;
	char *copy = omem_dup(file.data, file.len);
	int silent = 0;

	for (int i = 0; i < 20000; i++) {
		size_t at;
		char old;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		/* Where it hurts: the header and the section headers. */
		at = (seed >> 33) % (64 + (file.len - ((Elf64_Ehdr *)(void *)file.data)->e_shoff));
		if (at >= 64)
			at = at - 64 + ((Elf64_Ehdr *)(void *)file.data)->e_shoff;
		old = copy[at];
		copy[at] = (char)(seed >> 20);
		silent += parse(copy, file.len, &err) < 0 && !err.msg[0];
		if (i % 3)
			copy[at] = old;
		if (i % 50 == 0)
			memcpy(copy, file.data, file.len);
	}
	omem_free(copy);
	is_int(silent, 0, "20000 random changes: accepted or refused in words");
}

static void test_lies(void)
{
	Elf64_Shdr sh;

	memcpy(&sh, file.data + modinfo_at, sizeof(sh));
	HOSTILE("32 bits", Elf64_Ehdr, 0, e_ident[EI_CLASS], ELFCLASS32, "built for 32 bits, this orlopd has 64");
	HOSTILE("byte order", Elf64_Ehdr, 0, e_ident[EI_DATA], 3 - file.data[EI_DATA], "other byte order");
	HOSTILE("machine", Elf64_Ehdr, 0, e_machine, 9999, "built for machine 9999");
	HOSTILE("type", Elf64_Ehdr, 0, e_type, ET_EXEC, "not a shared object: ELF type 2, want 3");
	HOSTILE("no magic", Elf64_Ehdr, 0, e_ident[1], 'X', "no ELF file");
	HOSTILE("no sections", Elf64_Ehdr, 0, e_shoff, 0, "no section headers");
	HOSTILE("sections beyond the end", Elf64_Ehdr, 0, e_shoff, UINT64_MAX - 8, "truncated");
	HOSTILE("sections just beyond the end", Elf64_Ehdr, 0, e_shoff, file.len - 10, "truncated");
	HOSTILE("too many sections", Elf64_Ehdr, 0, e_shnum, 65000, "65000 sections, at most 4096");
	HOSTILE("section header size", Elf64_Ehdr, 0, e_shentsize, 3, "section headers of 3 bytes, want 64");
	HOSTILE("names in no section", Elf64_Ehdr, 0, e_shstrndx, 500, "section names in section 500");
	HOSTILE("modinfo beyond the end", Elf64_Shdr, modinfo_at, sh_offset, UINT64_MAX, "truncated");
	HOSTILE("modinfo huge", Elf64_Shdr, modinfo_at, sh_size, 1u << 30, "1073741824 bytes, at most 65536");
	HOSTILE("modinfo without bytes", Elf64_Shdr, modinfo_at, sh_type, SHT_NOBITS, "no section .orlop.modinfo");
	HOSTILE("modinfo empty", Elf64_Shdr, modinfo_at, sh_size, 0, "no valid abi=");
	HOSTILE("modinfo of another name", Elf64_Shdr, modinfo_at, sh_name, 1, "no section .orlop.modinfo");
	hostile("abi is no number", sh.sh_offset, "abi=x.1", 7, "no valid abi=");
	hostile("abi overflows", sh.sh_offset, "abi=99999999999999999999", 24, "no valid abi=");
	hostile("no strings at all", sh.sh_offset, "\377\377\377\377\377\377\377\377", 8, "no valid abi=");
	hostile("name is a path", sh.sh_offset + 8, "name=../", 8, "no valid name=");
}

/* What user= and asks= say is looked at before anything is done with it. */
static void test_says(void)
{
	char *user = memmem(file.data, file.len, "user=test:good", 14);

	if (!user)
		otap_bail_out("good.so names no user");
	hostile("one of the core's names", (size_t)(user - file.data), "user=orlop:any", 14, "not for a module to take");
	hostile("a right that is none", (size_t)(user - file.data), "asks=pods;Get!", 14, "asks=pods;Get!: not RESOURCE");
}

int main(void)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	char path[512];
	Elf64_Ehdr *h;
	struct core_modinfo m;
	int fd;

	if (sizeof(void *) != 8)
		return otap_skip_all("written for 64 bits");
	if (ofile_read(AT_FDCWD, kit_module("good", path, sizeof(path)), 64 << 20, &file))
		otap_bail_out("no module good.so");
	h = (Elf64_Ehdr *)(void *)file.data;
	for (int i = 0; i < h->e_shnum; i++) {
		Elf64_Shdr *s = (Elf64_Shdr *)(void *)(file.data + h->e_shoff) + i;
		Elf64_Shdr *names = (Elf64_Shdr *)(void *)(file.data + h->e_shoff) + h->e_shstrndx;

		if (strcmp(file.data + names->sh_offset + s->sh_name, ".orlop.modinfo") == 0)
			modinfo_at = (size_t)((char *)s - file.data);
	}
	test_good();
	test_says();
	test_truncated();
	test_flipped();
	test_lies();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	is_int(core_modinfo_read(fd, "good.so", &m, &err), 0, "from a descriptor %s", err.msg);
	ok(m.ino != 0 && (size_t)m.size == file.len, "with the file's identity");
	ok(m.plain_libs || getenv("SANITIZERS"), "it needs only the C library");
	core_modinfo_done(&m);
	close(fd);
	obuf_done(&file);
	return done_testing();
}

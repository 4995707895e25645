/* fuzz/isolate.c - fuzz target: an arbitrary packet between a core and an isolated module. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "isolate_mail.h"
#include "wants.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct core_iso_head h = { .magic = CORE_ISO_MAGIC, .version = CORE_ISO_VERSION };
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_iso_in in;
	struct core_iso_spec spec;
	struct core_iso_desc desc;
	struct core_wants wants = { NULL };
	struct core_iso_got *got;
	char *packet;
	char text[64];

	memset(&in, 0, sizeof(in));
	if (core_iso_read(data, size, &in) == 0 && core_iso_mail_get(&in, NULL, &got) == 0)
		core_iso_got_free(got);
	if (size < 1 || size > ORLOP_MSG_MAX)
		return 0;
	/* The same as the body of a packet with a good head. */
	packet = omem_alloc(sizeof(h) + size);
	if (!packet)
		return 0;
	h.type = data[0];
	h.len = h.fields_len = (uint32_t)size;
	memcpy(packet, &h, sizeof(h));
	memcpy(packet + sizeof(h), data, size);
	if (core_iso_read(packet, sizeof(h) + size, &in) == 0) {
		if (core_iso_get_spec(&in.msg, &spec) == 0)
			core_iso_spec_done(&spec);
		if (core_iso_get_desc(&in.msg, &desc) == 0)
			core_iso_desc_done(&desc);
		(void)core_iso_get_wants(&in.msg, &wants);
		core_wants_done(&wants);
		(void)core_iso_status(&in.msg, &err);
		core_iso_text(&in.msg, CORE_ISO_T_TEXT, text, sizeof(text));
		omem_free(core_iso_str(&in.msg, CORE_ISO_T_NAME));
		orlop_error_done(&err);
	}
	omem_free(packet);
	return 0;
}

/*
 * ops.c - numbers of ops by name, for people: what abi/orlop/<class>.h calls them.
 */
#include "ops.h"

#include <stdio.h>
#include <string.h>

#include <orlop/admin.h>
#include <orlop/api.h>
#include <orlop/cni.h>
#include <orlop/controller.h>
#include <orlop/runtime.h>
#include <orlop/scheduler.h>
#include <orlop/storage.h>

struct op_name {
	uint32_t	op;
	const char	*name;
};

static const struct op_name storage[] = {
	{ ORLOP_STORAGE_RANGE, "range" }, { ORLOP_STORAGE_TXN, "txn" }, { ORLOP_STORAGE_CHANGES, "changes" },
	{ ORLOP_STORAGE_REVISION, "revision" }, { ORLOP_STORAGE_COMPACT, "compact" },
	{ ORLOP_STORAGE_SNAPSHOT, "snapshot" }, { ORLOP_STORAGE_RESTORE, "restore" },
	{ ORLOP_STORAGE_STATUS, "status" }, { ORLOP_STORAGE_CHECK, "check" }, { 0, NULL },
};

static const struct op_name api[] = {
	{ ORLOP_API_REQUEST, "request" }, { ORLOP_API_BATCH, "batch" }, { 0, NULL },
};

static const struct op_name runtime[] = {
	{ ORLOP_RUNTIME_VERSION, "version" }, { ORLOP_RUNTIME_STATUS, "status" },
	{ ORLOP_RUNTIME_RUN_SANDBOX, "run_sandbox" }, { ORLOP_RUNTIME_STOP_SANDBOX, "stop_sandbox" },
	{ ORLOP_RUNTIME_REMOVE_SANDBOX, "remove_sandbox" }, { ORLOP_RUNTIME_SANDBOX_STATUS, "sandbox_status" },
	{ ORLOP_RUNTIME_LIST_SANDBOXES, "list_sandboxes" }, { ORLOP_RUNTIME_CREATE_CONTAINER, "create_container" },
	{ ORLOP_RUNTIME_START_CONTAINER, "start_container" }, { ORLOP_RUNTIME_STOP_CONTAINER, "stop_container" },
	{ ORLOP_RUNTIME_REMOVE_CONTAINER, "remove_container" },
	{ ORLOP_RUNTIME_CONTAINER_STATUS, "container_status" },
	{ ORLOP_RUNTIME_LIST_CONTAINERS, "list_containers" }, { 0, NULL },
};

static const struct op_name cni[] = {
	{ ORLOP_CNI_ADD, "add" }, { ORLOP_CNI_DEL, "del" }, { ORLOP_CNI_CHECK, "check" }, { 0, NULL },
};

static const struct op_name scheduler[] = { { ORLOP_SCHEDULER_EXPLAIN, "explain" }, { 0, NULL } };
static const struct op_name controllers[] = { { ORLOP_CONTROLLER_RESYNC, "resync" }, { 0, NULL } };

static const struct op_name core[] = {
	{ ORLOP_ADMIN_STATUS, "status" }, { ORLOP_ADMIN_MODULE_LIST, "module_list" },
	{ ORLOP_ADMIN_MODULE_INFO, "module_info" }, { ORLOP_ADMIN_MODULE_LOAD, "module_load" },
	{ ORLOP_ADMIN_MODULE_UNLOAD, "module_unload" }, { ORLOP_ADMIN_MODULE_STATS, "module_stats" },
	{ ORLOP_ADMIN_BUS_STATS, "bus_stats" }, { ORLOP_ADMIN_METRICS, "metrics" }, { ORLOP_ADMIN_STOP, "stop" },
	{ ORLOP_ADMIN_FORWARD, "forward" }, { ORLOP_ADMIN_MODULE_DEBUG, "module_debug" },
	{ ORLOP_ADMIN_MODULE_REPLACE, "module_replace" }, { ORLOP_ADMIN_MODULE_SET, "module_set" },
	{ ORLOP_ADMIN_RELOAD, "reload" }, { 0, NULL },
};

static const struct op_class {
	const char	*name;
	const struct op_name *ops;
} classes[] = {
	{ "storage", storage }, { "api", api }, { "runtime", runtime }, { "cni", cni }, { "scheduler", scheduler },
	{ "controllers", controllers }, { "core", core },
};

/* The class of "runtime" and "runtime/oci". */
static const struct op_name *class_of(const char *address)
{
	size_t len = strcspn(address, "/#");

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strlen(classes[i].name) == len && !strncmp(classes[i].name, address, len))
			return classes[i].ops;
	return NULL;
}

const char *op_text(const char *address, uint32_t op, char *buf, size_t size)
{
	for (const struct op_name *o = class_of(address); o && o->name; o++)
		if (o->op == op)
			return o->name;
	(void)snprintf(buf, size, "op%u", op);
	return buf;
}

int op_parse(const char *address, const char *text, uint32_t *ret)
{
	char rest;

	if (sscanf(text, "%u%c", ret, &rest) == 1)
		return 0;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (address && classes[i].ops != class_of(address))
			continue;
		for (const struct op_name *o = classes[i].ops; o->name; o++)
			if (!strcmp(o->name, text)) {
				*ret = o->op;
				return 0;
			}
	}
	return -1;
}

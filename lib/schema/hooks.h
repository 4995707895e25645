/*
 * hooks.h - names that schema files may use for what needs code.
 *
 * One list each for defaults (`defaults=NAME`, defaults.c), checks (`check=NAME`,
 * check-*.c) and table cells (`fn:NAME`, cells*.c). tools/schemac turns the names into
 * these numbers; the runtime has one function per name, so a name without function does not link.
 */
#ifndef OSCHEMA_HOOKS_H
#define OSCHEMA_HOOKS_H

#define OSCHEMA_DEFAULTERS(X) \
	X(pod) X(pod_spec) X(container) X(image_volume) X(volume) X(service_spec) X(secret) \
	X(namespace) X(node_spec) X(node_status) X(pod_status) X(deployment_strategy) X(replication_controller) \
	X(replication_controller_spec) X(limit_range_item) \
	/* defaults-kinds.c */ \
	X(stateful_set_spec) X(stateful_set_strategy) X(daemon_set) X(daemon_set_strategy) X(job) X(network_policy_spec) X(autoscaler_spec) \
	X(crd_spec) X(device_count) \
	/* check-rbac.c */ \
	X(role_binding)

#define OSCHEMA_CHECKS(X) \
	/* parts of pods: check-pod.c, check-container.c */ \
	X(pod) X(pod_spec) X(pod_template) X(container) X(volume) X(volume_projection) X(downward_file) X(probe) \
	X(lifecycle_handler) X(env_var) X(env_from) X(image) X(size_limit) X(token_seconds) \
	X(security_context) X(localhost_profile) X(resources) X(toleration) X(topology_spread) \
	X(node_requirement) X(affinity_term) \
	/* shared: check-common.c */ \
	X(labels) X(label_requirement) \
	/* whole objects: check-object.c */ \
	X(service) X(affinity_timeout) X(endpoint_subset) X(endpoint_slice) X(config_map) X(secret) X(namespace) \
	X(node) X(event) X(deployment) X(replicaset) X(replication_controller) \
	X(binding) X(access_review) X(disruption_budget) X(limit_range) \
	/* check-kinds.c */ \
	X(stateful_set) X(daemon_set) X(job) X(cron_job) X(persistent_volume) X(volume_source) X(persistent_volume_claim) \
	X(ingress) X(ingress_class) X(network_policy_peer) X(network_policy_port) X(service_cidr) X(ip_address) X(endpoint_hints) X(policy_types) X(priority_class) X(resource_quota) X(runtime_class) X(class_tolerations) X(lifecycle_modes) X(storage_class) X(csi_driver) X(driver_name) X(class_parameters) X(csi_node) X(volume_attachment) X(autoscaler) \
	/* check-volume.c */ \
	X(iscsi) X(fc) X(nfs) X(quobyte) X(flocker) X(flex_volume) X(azure_disk) X(csi_volume) X(partition) X(volume_secret) \
	/* check-webhook.c */ \
	X(webhook) X(rule_with_operations) X(match_conditions) \
	/* check-policy.c */ \
	X(param_kind) X(policy_variable) X(policy_validation) X(audit_annotation) X(policy_mutation) X(policy_spec) \
	X(expression_warning) X(param_ref) X(validation_actions) X(mutating_binding) \
	/* check-condition.c */ \
	X(conditions) \
	/* check-device.c */ \
	X(pool_name) X(device_count) X(device_request) X(device_expression) X(device_parameters) X(device_constraint) \
	X(extended_resource) X(device_claim) X(resource_claim) X(device_attribute) X(device) X(resource_slice) \
	/* check-apiservice.c */ \
	X(api_service) \
	/* check-flow.c */ \
	X(flow_schema) X(priority_level) \
	/* check-rbac.c */ \
	X(role) X(cluster_role) X(role_binding)

#define OSCHEMA_CELLS(X) \
	X(age) X(int) X(count) X(or_none) X(or_na) X(or_unknown) X(map) X(selector) X(containers) X(images) \
	X(data_count) X(ready_of_replicas) X(controller) \
	X(pod_ready) X(pod_status) X(pod_restarts) X(pod_ip) X(pod_gates) \
	X(node_status) X(node_roles) X(node_internal_ip) X(node_external_ip) \
	X(service_cluster_ip) X(service_external_ip) X(service_ports) X(endpoints) \
	X(slice_ports) X(slice_endpoints) \
	X(event_last_seen) X(event_first_seen) X(event_object) X(event_source) X(event_message) \
	X(event_count) \
	/* cells-kinds.c */ \
	X(flag) X(true_false) X(or_unset) X(list) X(list_or_none) X(since_or_none) X(seconds_or_none) \
	X(job_status) X(job_completions) X(job_duration) X(phase) X(access_modes) X(claim_modes) \
	X(claim_capacity) X(claim_ref) X(storage_class) X(default_name) X(token_requests) \
	X(quota_requests) X(quota_limits) X(ingress_hosts) X(ingress_address) X(ingress_ports) \
	X(ingress_parameters) X(parent_ref) X(csr_condition) X(claim_state) X(api_service) X(available) X(healthy) X(missing_level) \
	X(text_or_unset) X(scale_target) X(scale_metrics) \
	/* check-rbac.c */ \
	X(role_ref) X(subjects) \
	/* check-policy.c */ \
	X(param_kind) X(param_ref) \
	/* cells-custom.c: a JSON path, by the column's type */ \
	X(custom)

#define OSCHEMA_HOOK_D(n) OSCHEMA_D_##n,
#define OSCHEMA_HOOK_C(n) OSCHEMA_C_##n,
#define OSCHEMA_HOOK_L(n) OSCHEMA_L_##n,

enum oschema_defaulter { OSCHEMA_D_NONE, OSCHEMA_DEFAULTERS(OSCHEMA_HOOK_D) OSCHEMA_D_COUNT };
enum oschema_check { OSCHEMA_C_NONE, OSCHEMA_CHECKS(OSCHEMA_HOOK_C) OSCHEMA_C_COUNT };
enum oschema_cell { OSCHEMA_L_NONE, OSCHEMA_CELLS(OSCHEMA_HOOK_L) OSCHEMA_L_COUNT };

#endif

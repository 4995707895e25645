/* volume.c - claims and the nodes that they allow. */
#include "world.h"

#include "../volume.h"
#include "base/ostr.h"

static struct sd_claims *claims(uint32_t n)
{
	struct sd_claims *k = omem_zalloc(sizeof(*k) + n * sizeof(k->v[0]));

	if (!k)
		otap_bail_out("claims");
	oarena_init(&k->mem, 0);
	k->n = n;
	return k;
}

static void volume(struct sd_claims *k, uint32_t i, const char *members)
{
	k->v[i].v = oarena_zalloc(&k->mem, sizeof(*k->v[i].v));
	k->v[i].n = 1;
	if (!k->v[i].v || sd_volume_read(&k->mem, text("pv"), text(members), k->v[i].v))
		otap_bail_out("volume");
}

#define ON_ZONE(z) "\"spec\":{\"nodeAffinity\":{\"required\":{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"topology.kubernetes.io/zone\",\"operator\":\"In\",\"values\":[\"" z "\"]}]}]}}}"
#define A "\"topology.kubernetes.io/zone\":\"a\""
#define B "\"topology.kubernetes.io/zone\":\"b\""

#define CLAIM(name) "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"" name "\"}}]"
#define CSINODE(count) "\"spec\":{\"drivers\":[{\"name\":\"other\",\"nodeID\":\"x\"},{\"name\":\"disk.io\",\"allocatable\":{\"count\":" count "}}]}"

static struct sd_pod *claimer(const char *name, const char *spec, int32_t priority, const char *claim, bool alone, const char *source)
{
	struct sd_pod *p = pod("d", name, "", spec, "1", priority);

	p->claims = claims(1);
	p->claims->v[0].name = text(claim);
	p->claims->v[0].provision = true;
	p->claims->v[0].alone = alone;
	p->claims->v[0].source = text(source);
	p->claims->v[0].driver_len = (uint32_t)strcspn(source, "/");
	p->claims->attached = *source != '\0';
	return p;
}

static void claimer_free(struct sd_pod *p)
{
	sd_claims_free(p->claims);
	p->claims = NULL;
	pod_free(p);
}

static void test_alone(void)
{
	struct sd_pod *p = claimer("p", CLAIM("data"), 10, "data", true, ""), *other, *user;

	is_str(takers(p), "a1 b1 x1", "a claim for one pod that nobody uses");
	other = placed("e", "user", "", CLAIM("data"), "1", 0, "b1");
	is_str(takers(p), "a1 b1 x1", "nor one of that name elsewhere");
	pod_free(other);
	user = placed("d", "user", "", CLAIM("data"), "1", 20, "b1");
	is_str(takers(p), "", "in use, no node will do");
	is_str(says(p), "0/3 nodes are available: 3 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode. "
	       "preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.", "in upstream's words");
	p->priority = 30;
	is_str(says(p), "0/3 nodes are available: 3 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode.",
	       "who uses it goes for somebody more important");
	c.claim_freed = false;
	is_str(takers(p), "", "that was a trial");
	ok(!c.claim_freed, "which frees nothing");
	pod_free(user);
	ok(c.claim_freed, "it ends");
	is_str(takers(p), "a1 b1 x1", "and is free again");
	p->claims->v[0].alone = false;
	user = placed("d", "user", "", CLAIM("data"), "1", 0, "b1");
	is_str(takers(p), "a1 b1 x1", "other claims are shared");
	pod_free(user);
	claimer_free(p);
}

/* Claims of placed pods: "one" and "uno" are the same volume, "none" is no driver's. */
static char *source(void *arg, struct orlop_bytes ns, struct orlop_bytes claim, uint32_t *ret_driver_len)
{
	(void)ns;
	++*(int *)arg;
	*ret_driver_len = 7;
	if (ostr_is(claim.p, claim.len, "none"))
		return NULL;
	return omem_printf("disk.io/%.*s", ostr_is(claim.p, claim.len, "uno") ? 3 : (int)claim.len, ostr_is(claim.p, claim.len, "uno") ? "one" : claim.p);
}

static void test_limits(void)
{
	struct sd_pod *p = claimer("p", CLAIM("new"), 10, "new", false, "disk.io/new"), *v[4];
	int asked = 0;

	c.source = source;
	c.source_arg = &asked;
	v[0] = placed("d", "one", "", CLAIM("one"), "100m", 20, "b1");
	v[1] = placed("d", "uno", "", CLAIM("uno"), "100m", 20, "b1");
	v[2] = placed("d", "none", "", CLAIM("none"), "100m", 20, "b1");
	is_str(takers(p), "a1 b1 x1", "no node says what it can attach");
	ok(!asked && !sd_limits_set(&c, text("b1"), text(CSINODE("2"))), "one does");
	is_str(takers(p), "a1 b1 x1", "a volume that two use counts once, others not at all");
	is_int(asked, 3, "each is looked up");
	is_str(takers(p), "a1 b1 x1", "while nothing changes");
	is_int(asked, 3, "once");
	v[3] = placed("d", "two", "", CLAIM("two"), "100m", 20, "b1");
	is_str(takers(p), "a1 x1", "one more, and it is full");
	p->claims->v[0].source = text("disk.io/two");
	is_str(takers(p), "a1 b1 x1", "but for what is attached there");
	p->claims->v[0].source = text("disk.io/new");
	sd_node_gone(&c, text("a1"));
	sd_node_gone(&c, text("x1"));
	is_str(says(p), "0/1 nodes are available: 1 node(s) exceed max volume count. preemption: 0/1 nodes are available: 1 No preemption victims found "
	       "for incoming pod.", "in upstream's words");
	is_int(sd_limits_set(&c, text("b1"), text(CSINODE("3"))), 0, "the driver learns to attach more");
	is_str(takers(p), "b1", "and the node takes it");
	is_int(sd_limits_set(&c, text("b1"), text(CSINODE("0"))), 0, "or none");
	is_str(takers(p), "", "and it does not");
	is_int(sd_limits_set(&c, text("b1"), text("\"spec\":{\"drivers\":[]}")), 0, "the driver goes");
	is_str(takers(p), "b1", "and its limit");
	asked = 0;
	c.volumes_gen++;
	is_int(sd_limits_set(&c, text("b1"), text(CSINODE("9"))), 0, "something about volumes changed");
	is_str(takers(p), "b1", "all are");
	is_int(asked, 4, "looked up again");
	for (int i = 0; i < 4; i++)
		pod_free(v[i]);
	is_int(omap_count(&c.used), 0, "no claim is in use");
	claimer_free(p);
}

#define VOLUMES(list) "\"volumes\":[" list "]"
#define GCE(name, more) VOLUMES("{\"name\":\"v\",\"gcePersistentDisk\":{\"pdName\":\"" name "\"" more "}}")
#define AWS(id, more) VOLUMES("{\"name\":\"v\",\"awsElasticBlockStore\":{\"volumeID\":\"" id "\"" more "}}")
#define ISCSI(iqn, more) VOLUMES("{\"name\":\"v\",\"iscsi\":{\"targetPortal\":\"t\",\"iqn\":\"" iqn "\",\"lun\":0" more "}}")
#define RBD(monitors, image, more) VOLUMES("{\"name\":\"v\",\"rbd\":{\"monitors\":[" monitors "],\"pool\":\"rbd\",\"image\":\"" image "\"" more "}}")
#define RO ",\"readOnly\":true"

/* A disk that pods name themselves: one on b1 has it, the other wants it. */
static void test_disks(void)
{
	static const struct {
		const char	*has, *wants;
		bool		goes;
	} t[] = {
		{ GCE("d", ""), GCE("d", ""), false },
		{ GCE("d", ""), GCE("other", ""), true },
		{ GCE("d", RO), GCE("d", RO), true },
		{ GCE("d", RO), GCE("d", ",\"readOnly\":false"), false },
		{ GCE("d", ""), GCE("d", RO), false },
		{ AWS("d", ""), AWS("d", ""), false },
		{ AWS("d", RO), AWS("d", RO), false },
		{ AWS("d", ""), AWS("e", ""), true },
		{ AWS("d", ""), GCE("d", ""), true },
		{ ISCSI("iqn.1", ""), ISCSI("iqn.1", ""), false },
		{ ISCSI("iqn.1", RO), ISCSI("iqn.1", RO), true },
		{ ISCSI("iqn.1", ""), ISCSI("iqn.2", ""), true },
		{ RBD("\"a\",\"b\"", "i", ""), RBD("\"c\",\"b\"", "i", ""), false },
		{ RBD("\"a\",\"b\"", "i", RO), RBD("\"c\",\"b\"", "i", RO), true },
		{ RBD("\"a\"", "i", ""), RBD("\"b\"", "i", ""), true },
		{ RBD("\"a\"", "i", ""), RBD("\"a\"", "j", ""), true },
		{ GCE("d", ""), VOLUMES("{\"name\":\"v\",\"emptyDir\":{}}"), true },
	};
	struct sd_pod *has, *p;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		has = placed("d", "has", "", t[i].has, "100m", 0, "b1");
		p = pod("d", "p", "", t[i].wants, "100m", 0);
		is_str(takers(p), t[i].goes ? "a1 b1 x1" : "a1 x1", "%s beside %s", t[i].wants, t[i].has);
		pod_free(has);
		pod_free(p);
	}
	/* its own, twice, is no conflict; where it is in the way of everybody the words are upstream's, and preemption helps */
	p = pod("d", "p", "", VOLUMES("{\"name\":\"v\",\"gcePersistentDisk\":{\"pdName\":\"d\"}},{\"name\":\"w\",\"gcePersistentDisk\":{\"pdName\":\"d\"}}"), "100m", 10);
	is_int(p->load->n_disks, 2, "two volumes, one disk");
	is_str(takers(p), "a1 b1 x1", "which is nobody else's");
	sd_node_gone(&c, text("a1"));
	sd_node_gone(&c, text("x1"));
	has = placed("d", "has", "", GCE("d", ""), "100m", 20, "b1");
	is_str(says(p), "0/1 nodes are available: 1 node(s) had no available disk. preemption: 0/1 nodes are available: 1 No preemption victims found "
	       "for incoming pod.", "in upstream's words");
	c.claim_freed = false;
	pod_free(has);
	ok(c.claim_freed, "who waits for a disk hears when a pod with one goes");
	is_str(says(p), "placed", "and gets it");
	sd_pod_unplace(&c, p);
	pod_free(p);
	p = pod("d", "web-0", "", VOLUMES("{\"name\":\"scratch\",\"ephemeral\":{\"volumeClaimTemplate\":{\"spec\":{}}}}"), "100m", 0);
	ok(p->load->n_claims == 1 && p->load->claims[0].ephemeral, "a claim that is made for a pod");
	is_mem(p->load->claims[0].name.p, p->load->claims[0].name.len, "web-0-scratch", 13, "has its name");
	pod_free(p);
	node("a1", A, "", "4");
	node("x1", "", "", "4");
}

int main(void)
{
	struct sd_pod *p;

	sd_cluster_init(&c, 1);
	node("a1", A, "", "4");
	node("b1", B, "", "4");
	node("x1", "", "", "4");
	p = pod("d", "p", "", "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"data\"}},{\"name\":\"e\",\"emptyDir\":{}}]", "1", 0);
	ok(p->load->n_claims == 1 && p->load->claims[0].name.len == 4, "the claims of a pod");
	p->claims = claims(1);
	p->claims->v[0].bound = true;
	volume(p->claims, 0, ON_ZONE("b"));
	is_str(takers(p), "b1", "a bound volume's node affinity");
	is_str(says(p), "placed", "is kept");
	sd_node_gone(&c, text("b1"));
	is_str(says(p), "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity. preemption: 0/2 nodes are available: "
	       "2 Preemption is not helpful for scheduling.", "in upstream's words");
	node("b1", B, "", "4");
	volume(p->claims, 0, "\"metadata\":{\"labels\":{" A "}},\"spec\":{}");
	is_str(takers(p), "a1 x1", "a volume's zone; a node without zones is in all");
	volume(p->claims, 0, "\"metadata\":{\"labels\":{\"topology.kubernetes.io/zone\":\"a__b\"}},\"spec\":{}");
	is_str(takers(p), "a1 b1 x1", "of two zones");
	p->claims->v[0].bound = false;
	volume(p->claims, 0, ON_ZONE("a"));
	is_str(takers(p), "a1", "a volume that could be bound");
	p->claims->v[0].n = 0;
	is_str(says(p), "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind. preemption: 0/3 nodes are available: "
	       "3 Preemption is not helpful for scheduling.", "none is there");
	p->claims->v[0].provision = true;
	is_str(takers(p), "a1 b1 x1", "one can be made anywhere");
	if (sd_topologies_read(&p->claims->mem, text("[{\"matchLabelExpressions\":[{\"key\":\"topology.kubernetes.io/zone\",\"values\":[\"b\"]}]}]"), &p->claims->v[0]))
		otap_bail_out("topologies");
	is_str(takers(p), "b1", "or in allowed topologies");
	sd_claims_free(p->claims);
	p->claims = NULL;
	pod_free(p);
	test_alone();
	test_disks();
	test_limits();
	while (c.n)
		sd_node_gone(&c, c.v[0]->name);
	sd_cluster_done(&c);
	return done_testing();
}

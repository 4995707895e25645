// What people do with the JavaScript client: objects, lists in pages, patches of every kind, apply, informers, streams
// to containers, metrics, kinds of their own, errors. Run by node.sh: node.mjs FOLDER-OF-THE-CLIENT FOLDER-FOR-FILES.
import { createRequire } from 'node:module';
import { isDeepStrictEqual, inspect } from 'node:util';
import { pathToFileURL } from 'node:url';
import { once } from 'node:events';
import { Writable, PassThrough, Readable } from 'node:stream';
import net from 'node:net';
import fs from 'node:fs';
import path from 'node:path';

const [folder, tmp] = process.argv.slice(2);
const k8s = await import(pathToFileURL(createRequire(path.resolve(folder, 'x.js')).resolve('@kubernetes/client-node')));
const kc = new k8s.KubeConfig();
kc.loadFromFile(process.env.KUBECONFIG);
const core = kc.makeApiClient(k8s.CoreV1Api);
const apps = kc.makeApiClient(k8s.AppsV1Api);
const custom = kc.makeApiClient(k8s.CustomObjectsApi);
const ns = 'client-node';
const namespace = ns;

// ---- TAP ----

let n = 0;
let bad = 0;
function ok(good, name, why) {
    n++;
    console.log(`${good ? '' : 'not '}ok ${n} - ${name}`);
    if (!good) {
        bad++;
        if (why !== undefined) console.log(String(typeof why === 'string' ? why : inspect(why, { depth: 8 })).slice(0, 3000).replace(/^/gm, '#   '));
    }
    return good;
}
const eq = (got, want, name) => ok(isDeepStrictEqual(got, want), name, { got, want });
async function group(fn) {
    try {
        await fn();
    } catch (e) {
        ok(false, `${fn.name} ran to its end`, e && e.stack || e);
    }
}
async function refused(promise) {
    try {
        await promise;
    } catch (e) {
        return { code: e.code, body: typeof e.body === 'string' ? JSON.parse(e.body) : e.body };
    }
    return { code: 200, body: {} };
}
// A stream that keeps what it gets, and tells when it has seen something.
class Sink extends Writable {
    constructor() {
        super();
        this.parts = [];
        this.waiting = [];
    }
    _write(chunk, encoding, done) {
        this.parts.push(Buffer.from(chunk));
        this.waiting = this.waiting.filter(([test, tell]) => !(test(this.text) && (tell(), true)));
        done();
    }
    get text() {
        return Buffer.concat(this.parts).toString();
    }
    until(test) {
        return test(this.text) ? Promise.resolve() : new Promise((tell) => this.waiting.push([test, tell]));
    }
}
const as = (type) => k8s.setHeaderOptions('Content-Type', type);
const config_map = (name, data) => ({ metadata: { name, labels: { of: 'test' } }, data });

// ---- objects ----

async function objects() {
    eq((await kc.makeApiClient(k8s.VersionApi).getCode()).major, '1', 'the version');
    const made = await core.createNamespace({ body: { metadata: { name: ns } } });
    eq(made.status.phase, 'Active', 'a namespace');
    const cm = await core.createNamespacedConfigMap({ namespace, body: config_map('a', { k: 'v' }) });
    ok(cm.metadata.uid && cm.metadata.creationTimestamp instanceof Date, 'a config map, with its time', cm);
    cm.data.k = 'w';
    const put = await core.replaceNamespacedConfigMap({ name: 'a', namespace, body: cm });
    eq(put.data, { k: 'w' }, 'replaced');
    let e = await refused(core.replaceNamespacedConfigMap({ name: 'a', namespace, body: cm }));
    ok(e.code === 409 && e.body.reason === 'Conflict', 'an old one is a conflict', e);
    e = await refused(core.createNamespacedConfigMap({ namespace, body: config_map('a') }));
    ok(e.code === 409 && e.body.reason === 'AlreadyExists' && e.body.details.name === 'a', 'made twice', e);
    e = await refused(core.createNamespacedConfigMap({ namespace, body: config_map('A_') }));
    ok(e.code === 422 && e.body.details.causes[0].field === 'metadata.name', 'a bad name', e);
    e = await refused(core.readNamespacedConfigMap({ name: 'nothing', namespace }));
    ok(e.code === 404 && e.body.message === 'configmaps "nothing" not found', 'one that is not there', e);
    const secret = await core.createNamespacedSecret({ namespace, body: { metadata: { name: 's' }, stringData: { a: 'b' } } });
    eq(secret.data, { a: 'Yg==' }, 'a secret in base64');
    const dry = await core.createNamespacedConfigMap({ namespace, body: config_map('dry'), dryRun: 'All' });
    ok(dry.metadata.uid, 'a dry run answers');
    eq((await refused(core.readNamespacedConfigMap({ name: 'dry', namespace }))).code, 404, 'and changes nothing');
    e = await refused(core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'm', labels: { 'x y': 'z' } } }, fieldValidation: 'Strict' }));
    ok(e.code === 422, 'a bad label', e);
    const lease = kc.makeApiClient(k8s.CoordinationV1Api);
    const now = new k8s.V1MicroTime();
    const got = await lease.createNamespacedLease({ namespace, body: { metadata: { name: 'l' }, spec: { holderIdentity: 'me', renewTime: now } } });
    eq(new Date(got.spec.renewTime).getTime(), now.getTime(), 'a time with a fraction comes back as it went');
    const options = { name: 'a', namespace, body: { preconditions: { uid: 'another' } } };
    ok((await refused(core.deleteNamespacedConfigMap(options))).code === 409, 'deleted only if it is that one');
    eq((await core.deleteNamespacedConfigMap({ name: 'a', namespace })).status, 'Success', 'deleted');
}

async function lists() {
    for (let i = 0; i < 7; i++) await core.createNamespacedConfigMap({ namespace, body: config_map(`l${i}`, { n: `${i}` }) });
    const names = [];
    let _continue;
    let left;
    do {
        const page = await core.listNamespacedConfigMap({ namespace, labelSelector: 'of=test', limit: 3, _continue });
        left ??= page.metadata.remainingItemCount;
        names.push(...page.items.map((c) => c.metadata.name));
        _continue = page.metadata._continue;
    } while (_continue);
    eq(names, [0, 1, 2, 3, 4, 5, 6].map((i) => `l${i}`), 'a list in pages');
    const one = await core.listNamespacedConfigMap({ namespace, fieldSelector: 'metadata.name=l3' });
    eq(one.items.map((c) => c.data), [{ n: '3' }], 'by a field');
    const e = await refused(core.listNamespacedConfigMap({ namespace, labelSelector: '((' }));
    ok(e.code === 400 && /found '\('/.test(e.body.message), 'by a bad selector', e);
    await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: 'of=test', fieldSelector: 'metadata.name!=l0' });
    eq((await core.listNamespacedConfigMap({ namespace, labelSelector: 'of=test' })).items.length, 1, 'all but one deleted');
}

async function patches() {
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }, { name: 'd', image: 'j' }] } };
    const at = { name: 'd', namespace };
    await apps.createNamespacedDeployment({ namespace, body: { metadata: { name: 'd' }, spec: { replicas: 0, selector: { matchLabels: { a: 'b' } }, template } } });
    let got = await apps.patchNamespacedDeployment({ ...at, body: { spec: { template: { spec: { containers: [{ name: 'd', image: 'k' }] } } } } }, as(k8s.PatchStrategy.StrategicMergePatch));
    eq(Object.fromEntries(got.spec.template.spec.containers.map((c) => [c.name, c.image])), { c: 'i', d: 'k' }, 'a strategic merge patch');
    got = await apps.patchNamespacedDeployment({ ...at, body: [{ op: 'replace', path: '/spec/revisionHistoryLimit', value: 3 }] }, as(k8s.PatchStrategy.JsonPatch));
    eq(got.spec.revisionHistoryLimit, 3, 'a JSON patch');
    got = await apps.patchNamespacedDeployment({ ...at, body: [{ op: 'add', path: '/metadata/labels', value: { x: 'y' } }] });
    eq(got.metadata.labels, { x: 'y' }, 'with the type that the client takes of itself');
    got = await apps.patchNamespacedDeployment({ ...at, body: { metadata: { labels: { x: null } } } }, as(k8s.PatchStrategy.MergePatch));
    ok(!got.metadata.labels || !('x' in got.metadata.labels), 'a merge patch', got.metadata);
    eq((await apps.readNamespacedDeploymentScale(at)).spec.replicas ?? 0, 0, 'its scale');
    got = await apps.patchNamespacedDeploymentScale({ ...at, body: { spec: { replicas: 0 } } }, as(k8s.PatchStrategy.MergePatch));
    eq(got.kind, 'Scale', 'another scale');
    const e = await refused(apps.patchNamespacedDeployment({ ...at, body: [{ op: 'test', path: '/metadata/name', value: 'q' }] }));
    ok(e.code === 422, 'a test that fails', e);

    const mine = (replicas) => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'ssa' }, spec: { replicas, selector: { matchLabels: { a: 's' } }, template: { ...template, metadata: { labels: { a: 's' } } } } });
    const apply = (body, fieldManager, force) => apps.patchNamespacedDeployment({ name: 'ssa', namespace, body, fieldManager, force }, as(k8s.PatchStrategy.ServerSideApply));
    got = await apply(mine(0), 'one');
    ok(got.metadata.managedFields.some((f) => f.manager === 'one' && f.operation === 'Apply'), 'applied, which creates', got.metadata);
    const conflict = await refused(apply(mine(1), 'two'));
    ok(conflict.code === 409 && conflict.body.details.causes.some((c) => c.reason === 'FieldManagerConflict' && c.field === '.spec.replicas'), 'a conflict of two', conflict);
    got = await apply({ ...mine(0), spec: { ...mine(0).spec, paused: true } }, 'two', true);
    eq(got.spec.paused, true, 'forced');
    const nameless = await refused(apply(mine(0)));
    ok(nameless.code === 422 && /fieldManager: Required value/.test(nameless.body.message), 'nobody applies without a name', nameless);
    await apps.deleteNamespacedDeployment({ name: 'ssa', namespace, propagationPolicy: 'Background' });
}

// Any kind, found by discovery.
async function anything() {
    const api = k8s.KubernetesObjectApi.makeApiClient(kc);
    const head = { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata: { name: 'any', namespace } };
    const spec = { defaultBackend: { service: { name: 'x', port: { number: 80 } } } };
    eq((await api.create({ ...head, spec })).kind, 'Ingress', 'an object of any kind');
    let got = await api.patch({ ...head, metadata: { ...head.metadata, labels: { a: 'b' } } }, undefined, undefined, 'me', undefined, k8s.PatchStrategy.MergePatch);
    eq(got.metadata.labels, { a: 'b' }, 'patched');
    got = await api.patch({ ...head, spec: { ingressClassName: 'c' } }, undefined, undefined, 'me', true, k8s.PatchStrategy.ServerSideApply);
    eq([got.spec.ingressClassName, got.spec.defaultBackend.service.name], ['c', 'x'], 'applied');
    got = await api.read(head);
    got.spec.ingressClassName = 'd';
    eq((await api.replace(got)).spec.ingressClassName, 'd', 'replaced');
    eq((await api.list('networking.k8s.io/v1', 'Ingress', ns)).items.map((i) => i.metadata.name), ['any'], 'listed');
    eq((await api.delete(head)).status, 'Success', 'deleted');
    eq((await refused(api.read(head))).code, 404, 'gone');
}

// ---- watches ----

async function informer() {
    const url = `/api/v1/namespaces/${ns}/configmaps`;
    const inf = k8s.makeInformer(kc, url, () => core.listNamespacedConfigMap({ namespace, labelSelector: 'of=test' }), 'of=test');
    const seen = [];
    let wake = () => {};
    const events = async (count) => {
        while (seen.length < count) await new Promise((r) => (wake = r));
        return seen.slice();
    };
    for (const verb of ['add', 'update', 'delete']) inf.on(verb, (o) => (seen.push(`${verb} ${o.metadata.name}`), wake()));
    const errors = [];
    inf.on('error', (e) => errors.push(e));
    const connected = new Promise((tell) => inf.on('connect', tell));
    await inf.start();
    await connected;
    eq(await events(1), ['add l0'], 'an informer begins with what there is');
    await core.createNamespacedConfigMap({ namespace, body: config_map('w') });
    await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'other' } } });
    await core.patchNamespacedConfigMap({ name: 'w', namespace, body: { data: { a: 'b' } } }, as(k8s.PatchStrategy.MergePatch));
    await core.deleteNamespacedConfigMap({ name: 'w', namespace });
    eq((await events(4)).slice(1), ['add w', 'update w', 'delete w'], 'and follows');
    eq(inf.list(ns).map((c) => c.metadata.name), ['l0'], 'its cache');
    await inf.stop();
    ok(errors.every((e) => e.name === 'AbortError'), 'without errors', errors);

    const watch = new k8s.Watch(kc);
    const types = [];
    const rv = (await core.listNamespacedConfigMap({ namespace })).metadata.resourceVersion;
    await core.patchNamespacedConfigMap({ name: 'l0', namespace, body: { data: { a: 'b' } } }, as(k8s.PatchStrategy.MergePatch));
    await new Promise((done, failed) => {
        watch.watch(url, { resourceVersion: rv, allowWatchBookmarks: true, timeoutSeconds: 1 }, (type, o) => types.push(`${type} ${o.metadata.name ?? ''}`), (e) => (!e || e === k8s.Watch.SERVER_SIDE_CLOSE ? done() : failed(e))).catch(failed);
    });
    eq(types[0], 'MODIFIED l0', 'a watch from a version');
    ok(types.slice(1).every((t) => t.startsWith('BOOKMARK')), 'and its end in time', types);
}

async function customs() {
    const crds = kc.makeApiClient(k8s.ApiextensionsV1Api);
    const schema = { type: 'object', properties: { spec: { type: 'object', properties: { n: { type: 'integer', _default: 4, maximum: 9 } } }, status: { type: 'object', properties: { seen: { type: 'boolean' } } } } };
    await crds.createCustomResourceDefinition({ body: { metadata: { name: 'cars.x.example' }, spec: { group: 'x.example', scope: 'Namespaced', names: { plural: 'cars', kind: 'Car' }, versions: [{ name: 'v1', served: true, storage: true, subresources: { status: {} }, schema: { openAPIV3Schema: schema } }] } } });
    const watch = new k8s.Watch(kc);
    await new Promise((done, failed) => {
        let ctl;
        watch.watch('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {}, (type, o) => {
            if (o.status?.conditions?.some((c) => c.type === 'Established' && c.status === 'True')) done(ctl);
        }, failed).then((c) => (ctl = c), failed);
    }).then((ctl) => ctl?.abort());
    const at = { group: 'x.example', version: 'v1', namespace, plural: 'cars' };
    let got = await custom.createNamespacedCustomObject({ ...at, body: { apiVersion: 'x.example/v1', kind: 'Car', metadata: { name: 'c' }, spec: { odd: 1 } } });
    eq(got.spec, { n: 4 }, 'a custom resource, pruned and defaulted');
    got = await custom.patchNamespacedCustomObject({ ...at, name: 'c', body: [{ op: 'replace', path: '/spec/n', value: 5 }] });
    eq(got.spec.n, 5, 'patched');
    got = await custom.patchNamespacedCustomObjectStatus({ ...at, name: 'c', body: { status: { seen: true }, spec: { n: 7 } } }, as(k8s.PatchStrategy.MergePatch));
    eq([got.status, got.spec.n], [{ seen: true }, 5], 'its status alone');
    const e = await refused(custom.patchNamespacedCustomObject({ ...at, name: 'c', body: [{ op: 'replace', path: '/spec/n', value: 10 }] }));
    ok(e.code === 422 && e.body.details.causes[0].field === 'spec.n', 'patched badly', e);
    eq((await custom.listNamespacedCustomObject(at)).items.length, 1, 'listed');
    eq((await custom.deleteNamespacedCustomObject({ ...at, name: 'c' })).status, 'Success', 'deleted');
    await crds.deleteCustomResourceDefinition({ name: 'cars.x.example' });
}

async function rights() {
    const auth = kc.makeApiClient(k8s.AuthorizationV1Api);
    const may = await auth.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes: { namespace, verb: 'create', resource: 'pods' } } } });
    eq(may.status.allowed, true, 'may I?');
    const token = await core.createNamespacedServiceAccountToken({ name: 'default', namespace, body: { spec: { audiences: [], expirationSeconds: 3600 } } });
    const mine = new k8s.KubeConfig();
    mine.loadFromClusterAndUser(kc.getCurrentCluster(), { name: 'sa', token: token.status.token });
    const e = await refused(mine.makeApiClient(k8s.CoreV1Api).listNamespacedPod({ namespace }));
    ok(e.code === 403 && e.body.message.includes(`system:serviceaccount:${ns}:default`), "an account's token, which may little", e);
    const nobody = new k8s.KubeConfig();
    nobody.loadFromClusterAndUser(kc.getCurrentCluster(), { name: 'x', token: 'wrong' });
    eq((await refused(nobody.makeApiClient(k8s.CoreV1Api).listNamespacedPod({ namespace }))).code, 401, 'a wrong token');
}

// ---- pods ----

const image = 'localhost/hello:1';
async function ready(name) {
    const watch = new k8s.Watch(kc);
    let ctl;
    await new Promise((done, failed) => {
        watch.watch(`/api/v1/namespaces/${ns}/pods`, { fieldSelector: `metadata.name=${name}` }, (type, o) => {
            if (o.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True')) done();
        }, failed).then((c) => (ctl = c), failed);
    });
    ctl?.abort();
}
// What a command says: its two outputs and its Status.
function run(command, stdin = null, tty = false) {
    const stdout = new Sink();
    const stderr = new Sink();
    return new Promise((done, failed) => {
        new k8s.Exec(kc).exec(ns, 'web', 'web', command, stdout, stderr, stdin, tty, (status) => done({ out: stdout.text, err: stderr.text, status })).catch(failed);
    });
}
async function streams() {
    await core.createNamespacedPod({ namespace, body: { metadata: { name: 'web' }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'web', image, ports: [{ containerPort: 8080 }] }] } } });
    await core.createNamespacedPod({ namespace, body: { metadata: { name: 'cat' }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'cat', image, stdin: true, command: ['sh', '-c', 'while read -r x; do echo "got $x"; done'] }] } } });
    await ready('web');
    await ready('cat');
    let r = await run(['sh', '-c', 'echo out; echo err >&2']);
    eq([r.out, r.err, r.status.status], ['out\n', 'err\n', 'Success'], 'exec');
    r = await run(['sh', '-c', 'exit 7']);
    ok(r.status.reason === 'NonZeroExitCode' && r.status.details.causes[0].message === '7', 'its exit code', r.status);
    r = await run(['nosuchprogram']);
    ok(r.status.status === 'Failure' && /nosuchprogram/.test(r.status.message), 'a program that is not there', r.status);
    r = await run(['head', '-c', '100000'], Readable.from([Buffer.alloc(60000, 'x'), Buffer.alloc(60000, 'y')]));
    eq([r.out.length, r.out.slice(59999, 60001)], [100000, 'xy'], 'its input');
    r = await run(['sh', '-c', '[ -t 1 ] && echo terminal'], null, true);
    eq(r.out, 'terminal\r\n', 'on a terminal');
    let e;
    await new k8s.Exec(kc).exec(ns, 'nobody', 'web', 'true', null, null, null, false).catch((x) => (e = x));
    ok(e, 'in a pod that is not there', e);

    const input = new PassThrough();
    const output = new Sink();
    const ws = await new k8s.Attach(kc).attach(ns, 'cat', 'cat', output, null, input, false);
    input.write('hello\n');
    await output.until((t) => t.includes('got hello\n'));
    ok(true, 'attach');
    input.write('again\n');
    await output.until((t) => t.includes('got again\n'));
    ok(true, 'and again');
    ws.close();

    const log = new Sink();
    const follow = await new k8s.Log(kc).log(ns, 'cat', 'cat', log, { follow: true, tailLines: 5 });
    await log.until((t) => t.includes('got again\n'));
    eq(log.text, 'got hello\ngot again\n', 'logs');
    const more = new PassThrough();
    const ws2 = await new k8s.Attach(kc).attach(ns, 'cat', 'cat', null, null, more, false);
    more.write('late\n');
    await log.until((t) => t.includes('got late\n'));
    ok(true, 'which follow');
    follow.abort();
    ws2.close();
    eq(await core.readNamespacedPodLog({ name: 'cat', namespace, tailLines: 1 }), 'got late\n', 'the last line');
    ok(/^\d{4}-\d\d-\d\dT\S+Z got late\n$/.test(await core.readNamespacedPodLog({ name: 'cat', namespace, tailLines: 1, timestamps: true })), 'with its time');
    e = await refused(core.readNamespacedPodLog({ name: 'cat', namespace, container: 'dog' }));
    ok(e.code === 400 && /container dog is not valid for pod cat/.test(e.body.message), 'of another container', e);

    const forward = new k8s.PortForward(kc);
    const server = net.createServer((socket) => forward.portForward(ns, 'web', [8080], socket, null, socket).catch((x) => socket.destroy(x)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    for (const which of ['a port forwarded', 'and once more']) {
        const s = net.connect(server.address().port, '127.0.0.1');
        s.write('GET / HTTP/1.0\r\nHost: web\r\n\r\n');
        const page = new Sink();
        s.pipe(page);
        await page.until((t) => t.includes('Hello from web'));
        ok(true, which);
        s.destroy();
    }
    server.close();

    fs.mkdirSync(path.join(tmp, 'there'));
    fs.writeFileSync(path.join(tmp, 'there', 'file'), 'x'.repeat(300000) + 'end\n');
    await run(['mkdir', '/tmp/in']);
    await new k8s.Cp(kc).cpToPod(ns, 'web', 'web', path.join(tmp, 'there'), '/tmp/in');   // does not tell its end
    r = await run(['sh', '-c', 'until tail -c 4 /tmp/in/file 2>/dev/null | grep -q end; do sleep 0.1; done; wc -c < /tmp/in/file']);
    eq(r.out, '300004\n', 'cp there');
    const tar = new Sink();
    await new Promise((done, failed) => new k8s.Exec(kc).exec(ns, 'web', 'web', ['tar', 'cf', '-', '-C', '/tmp/in', 'file'], tar, null, null, false, done).catch(failed));
    const back = Buffer.concat(tar.parts);
    eq([back.length % 512, back.subarray(512, 512 + 300004).toString().endsWith('xend\n')], [0, true], 'and back');
}

async function metrics() {
    const node = (await core.listNode({})).items[0];
    const nodes = await new k8s.Metrics(kc).getNodeMetrics();
    ok(nodes.items.some((m) => m.metadata.name === node.metadata.name && /^\d+/.test(m.usage.memory)), "the node's use", nodes);
    const pods = await new k8s.Metrics(kc).getPodMetrics(ns);
    ok(pods.items.some((m) => m.metadata.name === 'web' && m.containers[0].name === 'web'), "the pods' use", pods);
    const top = await k8s.topNodes(core);
    ok(top.length === 1 && Number(top[0].CPU.Capacity) > 0, 'topNodes', top);
    ok((await k8s.topPods(core, new k8s.Metrics(kc), ns)).some((p) => p.Pod.metadata.name === 'web'), 'topPods');
}

async function ends() {
    const e = await refused(core.createNamespacedPodEviction({ name: 'cat', namespace, body: { metadata: { name: 'cat', namespace } } }));
    ok(e.code === 200, 'evicted', e);
    const pod = await core.deleteNamespacedPod({ name: 'web', namespace, gracePeriodSeconds: 0 });
    ok(pod, 'a pod deleted');
    const made = await core.deleteNamespace({ name: ns });
    ok(made, 'the namespace deleted');
    const watch = new k8s.Watch(kc);
    let ctl;
    await new Promise((done, failed) => {
        watch.watch('/api/v1/namespaces', { fieldSelector: `metadata.name=${ns}` }, (type) => type === 'DELETED' && done(), failed).then((c) => (ctl = c), failed);
    });
    ctl?.abort();
    eq((await refused(core.readNamespace({ name: ns }))).code, 404, 'gone');
}

for (const fn of [objects, lists, patches, anything, informer, customs, rights, streams, metrics, ends]) await group(fn);
console.log(`1..${n}`);
process.exit(bad ? 1 : 0);

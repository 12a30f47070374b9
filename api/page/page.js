"use strict";
// Everything is read from the same paths that other clients use, and only while somebody looks.
const $ = (id) => document.getElementById(id);
const period = 5000, samples = 60;
const most = 50; // rows of a list that others can make long
const limit = 10000; // milliseconds for an answer
const past = new Map(); // name -> numbers, the newest last

function el(name, text, className) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

function age(time) {
  if (!time) return "–";
  let s = Math.max(0, (Date.now() - new Date(time)) / 1000);
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["m", 60]]) {
    if (s >= length * 2) return Math.floor(s / length) + unit;
  }
  return Math.floor(s) + "s";
}

function bytes(n) {
  if (n === undefined) return "–";
  for (const [unit, size] of [["GiB", 1 << 30], ["MiB", 1 << 20], ["KiB", 1 << 10]]) {
    if (n >= size) return (n / size).toFixed(n >= size * 100 ? 0 : 1) + " " + unit;
  }
  return n + " B";
}

const cores = (nano) => nano === undefined ? "–" : (nano / 1e9).toFixed(nano < 1e10 ? 3 : 1);

function remember(name, value) {
  if (value === undefined) return;
  const list = past.get(name) || [];
  list.push(value);
  past.set(name, list.slice(-samples));
}

// forget drops what is remembered of objects that are gone: a tab may be open for months.
function forget(suffix, objects) {
  const there = new Set(objects.map((o) => nameOf(o) + suffix));
  for (const name of past.keys()) {
    if (name.endsWith(suffix) && !there.has(name)) past.delete(name);
  }
}

// spark draws the last minutes of a number.
function spark(name, label) {
  const list = past.get(name) || [];
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", `0 0 ${samples - 1} 10`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label + " over the last minutes");
  const most = Math.max(...list, 1e-9), line = document.createElementNS(svg.namespaceURI, "polyline");
  line.setAttribute("points", list.map((v, i) => `${samples - list.length + i},${9.5 - 9 * v / most}`).join(" "));
  svg.append(line);
  return svg;
}

const isSidecar = (pod, name) => (pod.spec.initContainers || []).some((c) => c.name === name && c.restartPolicy === "Always");
const reasonOf = (end) => end.reason || (end.signal ? "Signal:" + end.signal : "ExitCode:" + end.exitCode);

// initWord is how far initialization is: Init:1/3, Init:CrashLoopBackOff; empty when it is over.
function initWord(pod) {
  const status = pod.status || {}, inits = status.initContainerStatuses || [];
  if ((status.conditions || []).some((c) => c.type === "Initialized" && c.status === "True")) return "";
  for (const [i, c] of inits.entries()) {
    const end = c.state?.terminated, waits = c.state?.waiting?.reason;
    if (end?.exitCode === 0 || c.started && isSidecar(pod, c.name)) continue;
    if (end) return "Init:" + reasonOf(end);
    return "Init:" + (waits && !["PodInitializing", "ContainerCreating"].includes(waits) ? waits : `${i}/${pod.spec.initContainers.length}`);
  }
  return "";
}

// podState is the word that kubectl shows, and whether it is good news.
function podState(pod) {
  if (pod.metadata.deletionTimestamp) return ["Terminating", "warn"];
  const status = pod.status || {};
  if (status.reason) return [status.reason, "bad"];
  let word = initWord(pod), running = false;
  if (!word) {
    word = status.phase || "Unknown";
    for (const c of (status.containerStatuses || []).slice().reverse()) {
      if (c.state?.waiting?.reason) word = c.state.waiting.reason;
      else if (c.state?.terminated) word = reasonOf(c.state.terminated);
      else if (c.state?.running && c.ready) running = true;
    }
    if (word === "Completed" && running) word = "Running";
  }
  if (status.phase === "Succeeded") return [word, "dim"];
  if ((status.conditions || []).some((c) => c.type === "Ready" && c.status === "True")) return [word, "good"];
  const onTheWay = /^(Pending|Running|ContainerCreating|PodInitializing|Completed|Init:\d+\/\d+)$/.test(word);
  return [word, onTheWay && status.phase !== "Failed" ? "warn" : "bad"];
}

// readiness is how many containers are ready, of how many; sidecars count, as kubectl counts them.
function readiness(pod) {
  const status = pod.status || {}, sidecars = (pod.spec.initContainers || []).filter((c) => c.restartPolicy === "Always").length;
  const counted = [...(status.containerStatuses || []), ...(status.initContainerStatuses || []).filter((c) => isSidecar(pod, c.name))];
  return counted.filter((c) => c.ready).length + "/" + (pod.spec.containers.length + sidecars);
}

// restartsOf counts as kubectl does: of init containers only sidecars once the pod runs.
function restartsOf(pod) {
  const status = pod.status || {}, inits = status.initContainerStatuses || [], initializing = initWord(pod);
  const counted = initializing ? inits : [...inits.filter((c) => isSidecar(pod, c.name)), ...(status.containerStatuses || [])];
  return String(counted.reduce((n, c) => n + c.restartCount, 0));
}

// ended says in words how a container's attempt ended.
function ended(t) {
  if (!t) return "";
  const when = t.finishedAt ? `, ${age(t.finishedAt)} ago` : "";
  if (t.reason === "OOMKilled") return `killed for memory (OOMKilled)${when}`;
  if (t.signal) return `killed by signal ${t.signal}${when}`;
  const reason = t.reason && !["Error", "Completed"].includes(t.reason) ? ` (${t.reason})` : "";
  return `exit code ${t.exitCode}${reason}${when}`;
}

// lastEnds tells how the containers that are not up, or have been restarted, ended last, with their last words.
function lastEnds(pod) {
  const status = pod.status || {}, out = [];
  for (const c of [...(status.initContainerStatuses || []), ...(status.containerStatuses || [])]) {
    const t = c.state?.terminated || c.lastState?.terminated;
    if (!t || c.state?.terminated?.exitCode === 0) continue;
    out.push(`${c.name}: last end ${ended(t)}`);
    const words = (t.message || "").trim().split("\n").pop().slice(0, 200);
    if (words) out.push(words);
  }
  return out;
}

function row(cells) {
  const tr = el("tr");
  tr.setAttribute("role", "row"); // the phone's layout would take it away
  for (const [name, content, className] of cells) {
    const td = el("td", undefined, className);
    td.setAttribute("role", "cell");
    td.dataset.name = name;
    td.append(content);
    tr.append(td);
  }
  return tr;
}

function showPods(pods, usage) {
  const body = $("pods").tBodies[0], rows = [];
  for (const pod of pods) {
    const name = pod.metadata.namespace + "/" + pod.metadata.name, status = pod.status || {};
    const use = usage.get(pod.metadata.uid);
    const [word, mood] = podState(pod), state = el("div");
    state.append(el("span", word, mood));
    const why = status.message || [...(status.initContainerStatuses || []), ...(status.containerStatuses || [])].map((c) => c.state?.waiting?.message).find(Boolean);
    if (why) state.append(el("div", why, "dim"));
    for (const text of lastEnds(pod)) state.append(el("div", text, "dim"));
    const cpu = el("div", cores(use?.cpu?.usageNanoCores)), memory = el("div", bytes(use?.memory?.workingSetBytes));
    cpu.append(spark(name + " cpu", "processors that " + name + " uses"));
    memory.append(spark(name + " memory", "memory that " + name + " uses"));
    const button = el("button", "Show");
    button.type = "button";
    button.setAttribute("aria-label", "Show the log of " + name);
    button.onclick = () => openLog(pod);
    rows.push(row([
      ["Pod", name], ["Ready", readiness(pod), "number"], ["Status", state],
      ["Restarts", restartsOf(pod), "number"], ["Age", age(status.startTime), "number"],
      ["CPU", cpu, "number"], ["Memory", memory, "number"], ["Log", button],
    ]));
  }
  replaceRows(body, rows);
}

// replaceRows leaves the focus on the button that has it.
function replaceRows(body, rows) {
  const focused = document.activeElement?.getAttribute("aria-label");
  body.replaceChildren(...rows);
  if (focused) body.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
}

// showImages shows the images with the pods that use them, those that are used first.
function showImages(images, pods) {
  const users = new Map(), uses = (name, pod) => users.set(name, (users.get(name) || new Set()).add(nameOf(pod)));
  for (const pod of pods) {
    for (const c of [...(pod.status?.initContainerStatuses || []), ...(pod.status?.containerStatuses || [])]) {
      if (c.imageID) uses(c.imageID.split("@").pop(), pod);
    }
  }
  const used = (i) => users.get(i.digest) || new Set();
  const list = images.slice().sort((a, b) => used(b).size - used(a).size || (a.name < b.name ? -1 : 1));
  replaceRows($("images").tBodies[0], list.slice(0, most).map((i) => {
    const pods = [...used(i)].sort(), by = el("div", pods.slice(0, 3).join(", ") || "nobody", pods.length ? "" : "dim");
    if (pods.length > 3) by.append(` and ${pods.length - 3} more`);
    const digest = el("code", i.digest.replace("sha256:", "").slice(0, 12));
    digest.title = i.digest;
    return row([["Image", i.name], ["Digest", digest], ["Size", bytes(i.size), "number"], ["Age", age(i.createdAt), "number"], ["Used by", by]]);
  }));
  more("images-more", list.length - most, "more images");
}

// more says how much is not shown.
function more(id, n, what) {
  $(id).hidden = n <= 0;
  $(id).textContent = `and ${n} ${what}`;
}

const nameOfRef = (ref) => ref.namespace + "/" + ref.name, nameOf = (object) => nameOfRef(object.metadata);

// endpointsOf counts those of a service that are ready, and all; a pod with addresses of both families is one.
function endpointsOf(service, slices) {
  const ready = new Map();
  for (const slice of slices) {
    if (slice.metadata.namespace !== service.metadata.namespace || slice.metadata.labels?.["kubernetes.io/service-name"] !== service.metadata.name) continue;
    for (const e of slice.endpoints || []) {
      const name = e.targetRef?.name || e.addresses.join();
      ready.set(name, ready.get(name) || e.conditions?.ready !== false);
    }
  }
  return [[...ready.values()].filter(Boolean).length, ready.size];
}

function serviceAddresses(service) {
  const spec = service.spec, list = (spec.clusterIPs || []).map((ip) => ip === "None" ? "headless" : ip);
  const outside = [...(service.status?.loadBalancer?.ingress || []).map((i) => i.ip || i.hostname), ...(spec.externalIPs || [])];
  const cell = el("div");
  for (const text of spec.externalName ? [spec.externalName] : list) cell.append(el("div", text));
  for (const text of outside) cell.append(el("div", text + " (outside)", "dim"));
  return cell;
}

const servicePort = (p) => (p.name ? p.name + " " : "") + p.port + (p.nodePort ? ":" + p.nodePort : "") + "/" + p.protocol;

// reveal shows a section, and the way there.
function reveal(id, is) {
  $(id).hidden = !is;
  document.querySelector(`nav [data-for="${id}"]`).hidden = !is;
}

function showServices(services, slices, traffic) {
  reveal("services", services.length > 0);
  replaceRows($("services").querySelector("tbody"), services.map((service) => {
    const name = nameOf(service), external = service.spec.type === "ExternalName", sent = traffic[name];
    const [ready, all] = endpointsOf(service, slices);
    const endpoints = el("span", external ? "–" : `${ready} of ${all} ready`, external ? "dim" : ready === 0 ? "bad" : ready < all ? "warn" : "good");
    const flow = el("div", bytes(sent?.bytes));
    if (sent) flow.append(spark(name + " traffic", "bytes in each five seconds to and from " + name));
    const ports = el("div");
    for (const p of service.spec.ports || []) ports.append(el("div", servicePort(p)));
    const button = el("button", "Show");
    button.type = "button";
    button.setAttribute("aria-label", "Show the pods of the service " + name);
    button.onclick = () => openSelected(service);
    return row([
      ["Service", name], ["Type", service.spec.type], ["Addresses", serviceAddresses(service)], ["Ports", ports], ["Endpoints", endpoints],
      ["Traffic", flow, "number"], ["Pods", external ? "–" : button],
    ]);
  }));
}

const requirements = (selector) => [
  ...Object.entries(selector.matchLabels || {}).map(([k, v]) => `${k}=${v}`),
  ...(selector.matchExpressions || []).map((e) => `${e.key} ${e.operator}${e.values ? " " + e.values.join("|") : ""}`),
].join(", ") || "all of the namespace";

function showPolicies(policies) {
  reveal("policies", policies.length > 0);
  $("policies").querySelector("tbody").replaceChildren(...policies.map((policy) => {
    const types = policy.spec.policyTypes || [], n = (type, rules) => {
      if (!types.includes(type)) return el("span", "not affected", "dim");
      return rules?.length ? rules.length + (rules.length === 1 ? " rule allows" : " rules allow") : "nothing allowed";
    };
    return row([
      ["Policy", nameOf(policy)], ["Pods", requirements(policy.spec.podSelector || {})],
      ["Ingress", n("Ingress", policy.spec.ingress)], ["Egress", n("Egress", policy.spec.egress)],
    ]);
  }));
}

let selectedOf; // the name of the service whose pods are shown

function openSelected(service, asked = true) {
  selectedOf = nameOf(service);
  $("selected-name").textContent = selectedOf;
  $("selected").querySelector("tbody").replaceChildren();
  $("selected").hidden = false;
  window.history.replaceState(null, "", "#service=" + encodeURIComponent(selectedOf));
  showSelected();
  $("selected").scrollIntoView({ block: "nearest" });
  if (asked) $("selected-title").focus();
}

async function showSelected() {
  if (!selectedOf) return;
  const asked = selectedOf, cell = (text) => [["Pod", el("span", text, "dim")], ["Serves", ""], ["Addresses", ""], ["Why not", ""]];
  let rows;
  try {
    const { selected } = await json(`services/${asked.split("/").map(encodeURIComponent).join("/")}/selected`);
    rows = selected.map((p) => row([
      ["Pod", p.pod], ["Serves", el("span", p.serves ? "yes" : "no", p.serves ? "good" : "bad")], ["Addresses", (p.addresses || []).join(", ") || "–"], ["Why not", p.why || ""],
    ]));
    if (!rows.length) rows = [row(cell("no pod is selected"))];
  } catch (e) {
    rows = [row(cell("There is no such service."))];
  }
  if (asked === selectedOf) $("selected").querySelector("tbody").replaceChildren(...rows);
}

// refreshServices asks for what belongs to Services only where there are some. A tab may outlive a daemon that has these paths.
async function refreshServices() {
  const list = async (path) => {
    const response = await ask(path);
    if (response.status === 404) return [];
    return (await good(path, response).json()).items;
  };
  const [services, policies] = await Promise.all([list("services"), list("networkpolicies")]);
  let slices = [], traffic = {};
  if (services.length) {
    [slices, traffic] = await Promise.all([list("endpointslices"), json("stats/services").then((s) => s.services).catch(() => ({}))]);
    const before = totals;
    totals = new Map(Object.entries(traffic).map(([name, sent]) => [name, sent.bytes]));
    for (const [name, now] of totals) {
      if (now >= before.get(name)) remember(name + " traffic", now - before.get(name));
    }
  }
  showServices(services, slices, traffic);
  showPolicies(policies);
  forget(" traffic", services);
  const linked = hashOf("service");
  const service = services.find((s) => nameOf(s) === linked);
  if (!selectedOf && service) openSelected(service, false);
  else await showSelected();
}

let totals = new Map(); // bytes of services, by name

// hashOf is what the page's address links to: /#log=default/web, /#service=default/web.
function hashOf(what) {
  if (!location.hash.startsWith("#" + what + "=")) return "";
  try {
    return decodeURIComponent(location.hash.slice(what.length + 2));
  } catch (e) {
    return ""; // a link that was cut off
  }
}

function showMachine(node) {
  const tile = (title, value, name, label) => {
    const t = el("div", title, "tile");
    t.append(el("b", value));
    if (name) t.append(spark(name, label));
    return t;
  };
  remember("cpu", node.cpu?.usageNanoCores);
  remember("memory", node.memory?.workingSetBytes);
  const tiles = [
    tile("Processors in use", cores(node.cpu?.usageNanoCores), "cpu", "processors in use"),
    tile("Memory in use", bytes(node.memory?.workingSetBytes) + " of " + bytes(node.memory?.workingSetBytes + node.memory?.availableBytes), "memory", "memory in use"),
  ];
  if (node.fs) tiles.push(tile("Disk in use", Math.round(100 * node.fs.usedBytes / node.fs.capacityBytes) + " % of " + bytes(node.fs.capacityBytes)));
  tiles.push(tile("Up for", age(node.startTime)));
  $("machine").replaceChildren(...tiles);
  $("node").textContent = "on " + node.nodeName;
}

function showProblems(manifests) {
  const items = [];
  for (const text of [manifests.directoryError, manifests.unwatched]) {
    if (text) items.push(el("li", text, "bad"));
  }
  for (const f of manifests.files || []) {
    for (const p of f.problems || []) {
      if (p.warning) continue;
      items.push(el("li", `${f.name}:${p.line || 1}: ${p.path ? p.path + ": " : ""}${p.message}`, "bad"));
    }
  }
  $("problems").hidden = items.length === 0;
  if (items.length > most) items.splice(most, items.length - most, el("li", `and ${items.length - most} more`, "dim"));
  $("problem-list").replaceChildren(...items);
}

// grouped are events by object and reason, the newest group first, each with its events, the newest first.
function grouped(events) {
  const groups = new Map();
  for (const e of events.slice().reverse()) {
    const o = e.involvedObject, key = JSON.stringify([e.type, e.reason, o.kind, o.namespace, o.name]);
    const g = groups.get(key) || { newest: e, count: 0, all: [] };
    g.count += e.count || 1;
    g.all.push(e);
    groups.set(key, g);
  }
  return [...groups.values()];
}

const objectOf = (e) => (e.involvedObject.namespace ? e.involvedObject.namespace + "/" : "") + e.involvedObject.name;
const times = (n) => n > 1 ? ` (x${n})` : "";
const few = 5; // events of a group that are shown when it is opened

const opened = new Set(); // the groups of events and kills of which more is shown

// message is a group's newest, and on demand those before it that say something else.
function message(group, key) {
  const others = [...new Set(group.all.map((e) => e.message))].filter((m) => m !== group.newest.message);
  if (!others.length) return group.newest.message;
  const cell = el("div", group.newest.message), lines = others.slice(0, few);
  if (others.length > few) lines.push(`and ${others.length - few} more`);
  const title = others.length === 1 ? "one more message" : `${others.length} more messages`;
  cell.append(unfolded(title, lines, key, `More messages: ${group.newest.reason} of ${objectOf(group.newest)}`));
  return cell;
}

// unfolded are lines that are shown on demand, and over refreshes.
function unfolded(title, lines, key, label) {
  const details = el("details"), list = el("ul");
  details.append(el("summary", title), list);
  for (const line of lines) list.append(el("li", line));
  details.open = opened.has(key);
  details.ontoggle = () => details.open ? opened.add(key) : opened.delete(key);
  details.firstChild.setAttribute("aria-label", label);
  return details;
}

function showEvents(events) {
  const groups = grouped(events.filter((e) => !$("warnings").checked || e.type === "Warning"));
  replaceRows($("events").tBodies[0], groups.slice(0, most).map((g) => {
    const e = g.newest;
    return row([
      ["Last seen", age(e.lastTimestamp) + times(g.count), "number"], ["Reason", el("span", e.reason, e.type === "Warning" ? "warn" : "")],
      ["Object", objectOf(e)], ["Message", message(g, `${e.reason} ${e.involvedObject.kind} ${objectOf(e)}`)],
    ]);
  }));
  more("events-more", groups.length - most, "more kinds of events");
}

// visible shows what would turn the direction of what follows, or nothing at all, as an escape: processes choose their names and command lines.
const visible = (text) => text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (c) => "\\u" + c.codePointAt(0).toString(16).padStart(4, "0"));

const owners = { container: "the container", pod: "the pod", pods: "all pods", ancestor: "a cgroup above", machine: "none: the machine was full", unknown: "not known" };
const killed = 100; // of how many kills is asked, the newest

// killGroups are kills by container and by whose limit it was, the newest group first; the newest of a group tells of all.
function killGroups(kills) {
  const groups = new Map();
  for (const k of kills.slice().reverse()) {
    const of = k.pod?.name ? nameOfRef(k.pod) + (k.container ? " " + k.container : "") : "no pod's", key = JSON.stringify([of, k.pod?.uid, k.owner]);
    const g = groups.get(key) || { key, of, newest: k, count: 0 };
    g.count++;
    groups.set(key, g);
  }
  return [...groups.values()];
}

// why is the explanation of a kill, and on demand what it is made of.
function why(kill, key, of) {
  const cell = el("div", visible(kill.message)), lines = [];
  const process = (p) => `${visible(p.name)} (pid ${p.pid}) ${bytes(p.rss)}`;
  if (kill.command) lines.push("command: " + visible(kill.command.slice(0, 200)));
  if (kill.limit) lines.push(`limit ${bytes(kill.limit)}, used ${bytes(kill.usage)}, at most ${bytes(kill.peak)}`);
  if (kill.largest?.length) lines.push("largest: " + kill.largest.slice(0, few).map(process).join(", "));
  if (kill.pressure) lines.push(`processes waited for memory ${kill.pressure.some} % of the time`);
  if (lines.length) cell.append(unfolded("details", lines, "oom " + key, "Details: kill of " + of));
  return cell;
}

function showKills(kills) {
  const groups = killGroups(kills), shown = groups.slice(0, 20);
  replaceRows($("oom").tBodies[0], shown.map(({ newest, count, key, of }) => row([
    ["Last", (newest.before ? "before " : "") + age(newest.time) + times(count), "number"], ["Container", of], ["Limit of", owners[newest.owner] || newest.owner],
    ["Why", why(newest, key, of)],
  ])));
  $("oom").hidden = !groups.length;
  $("oom-none").hidden = groups.length > 0;
  more("oom-more", groups.length - shown.length, "more");
}

// showConditions shows what the node is short of.
function showConditions(node) {
  const bad = (node.status?.conditions || []).filter((c) => c.status !== (c.type === "Ready" ? "True" : "False"));
  $("conditions").hidden = bad.length === 0;
  $("conditions").replaceChildren(...bad.map((c) => el("li", `${c.type}${c.status === "Unknown" ? " is not known" : c.type === "Ready" ? ": no" : ""}: ${c.message || c.reason}`, "bad")));
}

// A daemon that hangs is told of, and not asked ever more.
const ask = (path) => fetch(path, { cache: "no-store", signal: AbortSignal.timeout?.(limit) });
function good(path, response) {
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response;
}
const get = async (path) => good(path, await ask(path));

const json = async (path) => (await get(path)).json();

let log; // the pod whose log is shown

function openLog(pod, asked = true) {
  log = pod;
  $("log-name").textContent = pod.metadata.namespace + "/" + pod.metadata.name;
  const containers = [...(pod.spec.containers || []), ...(pod.spec.initContainers || [])];
  $("log-container").replaceChildren(...containers.map((c) => el("option", c.name)));
  $("log-previous").checked = false;
  $("log").hidden = false;
  window.history.replaceState(null, "", "#log=" + encodeURIComponent($("log-name").textContent));
  showLog();
  $("log").scrollIntoView({ block: "nearest" });
  if (asked) $("log-title").focus(); // a screen reader tells it, and Tab goes on there
}

async function showLog() {
  if (!log) return;
  const text = $("log-text"), atEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 4;
  const name = [log.metadata.namespace, log.metadata.name, $("log-container").value].map(encodeURIComponent).join("/");
  try {
    const previous = $("log-previous").checked ? "&previous=true" : "";
    text.textContent = await (await get(`containerLogs/${name}?tailLines=200${previous}`)).text() || "(nothing was printed)";
  } catch (e) {
    text.textContent = "There is no such log.";
  }
  if (atEnd) text.scrollTop = text.scrollHeight;
}

let shown = []; // the events

let refreshing = false;

async function refresh() {
  if (refreshing) return;
  refreshing = true;
  try {
    const failed = await show();
    tell(failed.length ? `${readyPods}; not shown: ${failed.join(", ")}` : readyPods, failed.length ? "bad" : "");
  } catch (e) {
    tell("Solopod does not answer: " + e.message, "bad");
  } finally {
    refreshing = false;
  }
}

// tell changes the state's line only when it says something else, for a screen reader reads it out.
function tell(text, className) {
  if ($("state").textContent !== text) $("state").textContent = text;
  $("state").className = className;
}

let readyPods = ""; // how many pods are ready, in words

// show shows everything, and returns what could not be had: without the pods there is nothing to show.
async function show() {
  const failed = [], part = (path) => json(path).catch((e) => void failed.push(e.message.startsWith(path) ? e.message : `${path}: ${e.message}`));
  const parts = ["events", "manifests", "stats/summary", "images", "node", `ooms?limit=${killed}`];
  const [pods, events, manifests, summary, images, node, kills] = await Promise.all([json("pods"), ...parts.map(part)]);
  const usage = new Map((summary?.pods || []).map((p) => [p.podRef.uid, p]));
  for (const p of summary?.pods || []) {
    remember(nameOfRef(p.podRef) + " cpu", p.cpu?.usageNanoCores);
    remember(nameOfRef(p.podRef) + " memory", p.memory?.workingSetBytes);
  }
  if (summary) {
    showMachine(summary.node);
    forget(" cpu", pods.items);
    forget(" memory", pods.items);
  }
  if (manifests) showProblems(manifests);
  showPods(pods.items, usage);
  const ready = pods.items.filter((p) => podState(p)[1] === "good").length;
  readyPods = `${ready} of ${pods.items.length} pods ready`;
  if (node) showConditions(node);
  if (images) showImages(images.images, pods.items);
  if (events) showEvents(shown = events.items);
  if (kills) showKills(kills.items);
  const linked = hashOf("log");
  if (!log && linked) {
    const pod = pods.items.find((p) => nameOf(p) === linked);
    if (pod) openLog(pod, false);
  }
  await Promise.all([showLog(), refreshServices().catch((e) => void failed.push(e.message))]);
  return failed;
}

$("log-container").onchange = $("log-previous").onchange = showLog;
// close hides what a button has shown, and gives the focus back to that button.
function close(id, label) {
  $(id).hidden = true;
  window.history.replaceState(null, "", location.pathname);
  document.querySelector(`[aria-label="${CSS.escape(label)}"]`)?.focus();
}
$("log-close").onclick = () => {
  if (log) close("log", "Show the log of " + nameOf(log));
  log = undefined;
};
$("selected-close").onclick = () => {
  if (selectedOf) close("selected", "Show the pods of the service " + selectedOf);
  selectedOf = undefined;
};
document.addEventListener("keydown", (e) => {
  if (e.key !== "Escape") return;
  if (log) $("log-close").click();
  else $("selected-close").click();
});
$("warnings").onchange = () => showEvents(shown);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setInterval(() => { if (!document.hidden) refresh(); }, period);
refresh();

"use strict";
// Everything is read from the same paths that other clients use, and only while somebody looks.
const $ = (id) => document.getElementById(id);
const period = 5000, samples = 60;
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

// podState is the word that kubectl shows, and whether it is good news.
function podState(pod) {
  if (pod.metadata.deletionTimestamp) return ["Terminating", "warn"];
  const status = pod.status || {}, all = [...(status.initContainerStatuses || []), ...(status.containerStatuses || [])];
  if (status.reason) return [status.reason, "bad"];
  for (const c of all) {
    const reason = c.state?.waiting?.reason;
    if (reason && !["PodInitializing", "ContainerCreating"].includes(reason)) return [reason, "bad"];
  }
  for (const c of status.containerStatuses || []) {
    const reason = c.state?.terminated?.reason;
    if (reason && status.phase !== "Succeeded") return [reason, "bad"];
  }
  if (status.phase === "Succeeded") return ["Completed", "dim"];
  const ready = (status.conditions || []).some((c) => c.type === "Ready" && c.status === "True");
  return [status.phase || "Unknown", ready ? "good" : "warn"];
}

function row(cells) {
  const tr = el("tr");
  for (const [name, content, className] of cells) {
    const td = el("td", undefined, className);
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
    const statuses = status.containerStatuses || [], use = usage.get(pod.metadata.uid);
    const [word, mood] = podState(pod), state = el("div");
    state.append(el("span", word, mood));
    const why = status.message || statuses.map((c) => c.state?.waiting?.message).find(Boolean);
    if (why) state.append(el("div", why, "dim"));
    const cpu = el("div", cores(use?.cpu?.usageNanoCores)), memory = el("div", bytes(use?.memory?.workingSetBytes));
    cpu.append(spark(name + " cpu", "processors that " + name + " uses"));
    memory.append(spark(name + " memory", "memory that " + name + " uses"));
    const button = el("button", "Show");
    button.type = "button";
    button.setAttribute("aria-label", "Show the log of " + name);
    button.onclick = () => openLog(pod);
    rows.push(row([
      ["Pod", name], ["Ready", statuses.filter((c) => c.ready).length + "/" + pod.spec.containers.length, "number"], ["Status", state],
      ["Restarts", String(statuses.reduce((n, c) => n + c.restartCount, 0)), "number"], ["Age", age(status.startTime), "number"],
      ["CPU", cpu, "number"], ["Memory", memory, "number"], ["Log", button],
    ]));
  }
  const focused = document.activeElement?.getAttribute("aria-label");
  body.replaceChildren(...rows);
  if (focused) body.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
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
  $("problem-list").replaceChildren(...items);
}

function showEvents(events) {
  const newest = events.slice().reverse();
  const object = (e) => (e.involvedObject.namespace ? e.involvedObject.namespace + "/" : "") + e.involvedObject.name;
  $("events").tBodies[0].replaceChildren(...newest.slice(0, 50).map((e) => row([
    ["Last seen", age(e.lastTimestamp) + (e.count > 1 ? ` (x${e.count})` : ""), "number"],
    ["Reason", el("span", e.reason, e.type === "Warning" ? "warn" : "")], ["Object", object(e)], ["Message", e.message],
  ])));
  const kills = newest.filter((e) => e.reason === "OOMKilling").map((e) => el("li", `${age(e.lastTimestamp)} ago, ${object(e)}: ${e.message}`));
  $("oom").replaceChildren(...(kills.length ? kills : [el("li", "nothing was", "dim")]));
}

async function get(path) {
  const response = await fetch(path, { cache: "no-store" });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response;
}

const json = async (path) => (await get(path)).json();

let log; // the pod whose log is shown

function openLog(pod) {
  log = pod;
  $("log-name").textContent = pod.metadata.namespace + "/" + pod.metadata.name;
  const containers = [...(pod.spec.containers || []), ...(pod.spec.initContainers || [])];
  $("log-container").replaceChildren(...containers.map((c) => el("option", c.name)));
  $("log-previous").checked = false;
  $("log").hidden = false;
  window.history.replaceState(null, "", "#log=" + encodeURIComponent($("log-name").textContent));
  showLog();
  $("log").scrollIntoView({ block: "nearest" });
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

async function refresh() {
  const state = $("state");
  try {
    const [pods, events, manifests, summary] = await Promise.all(["pods", "events", "manifests", "stats/summary"].map(json));
    const usage = new Map(summary.pods.map((p) => [p.podRef.uid, p]));
    for (const p of summary.pods) {
      const name = p.podRef.namespace + "/" + p.podRef.name;
      remember(name + " cpu", p.cpu?.usageNanoCores);
      remember(name + " memory", p.memory?.workingSetBytes);
    }
    showMachine(summary.node);
    showProblems(manifests);
    showPods(pods.items, usage);
    showEvents(events.items);
    const linked = decodeURIComponent(location.hash.replace(/^#log=/, "")); // a link to a pod's log: /#log=default/web
    if (!log && linked) {
      const pod = pods.items.find((p) => p.metadata.namespace + "/" + p.metadata.name === linked);
      if (pod) openLog(pod);
    }
    await showLog();
    const ready = pods.items.filter((p) => podState(p)[1] === "good").length;
    state.textContent = `${ready} of ${pods.items.length} pods ready`;
    state.className = "";
  } catch (e) {
    state.textContent = "Solopod does not answer: " + e.message;
    state.className = "bad";
  }
}

$("log-container").onchange = $("log-previous").onchange = showLog;
$("log-close").onclick = () => {
  log = undefined;
  $("log").hidden = true;
  window.history.replaceState(null, "", location.pathname);
};
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setInterval(() => { if (!document.hidden) refresh(); }, period);
refresh();

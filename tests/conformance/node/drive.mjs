// Drives the official TypeScript SDK, unmodified, through what its users do, and prints what it saw as one JSON object.
// Usage: node drive.mjs SDK_FOLDER < {"key", "step": …graphs} ; COMFY_BASE_URL names the deployment.

import { readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [installed, scratch] = process.argv.slice(2);
const require = createRequire(join(installed, "package.json"));
const sdk = await import(pathToFileURL(require.resolve("@comfyorg/sdk")).href);
const given = JSON.parse(readFileSync(0, "utf8"));

const client = new sdk.Comfy({ apiKey: given.key, clientInfo: "conformance" });
const quick = (color) => {
  const graph = structuredClone(given.quick);
  graph["1"].inputs.color = color;
  return client.workflows.fromJson(graph);
};
const slow = (seed, steps) => {
  const graph = structuredClone(given.slow);
  graph["5"].inputs.seed = seed;
  graph["5"].inputs.steps = steps;
  return client.workflows.fromJson(graph);
};
const inverted = (image) => {
  const graph = structuredClone(given.inverted);
  graph["1"].inputs.image = image;
  return client.workflows.fromJson(graph);
};
const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const refused = async (what) => {
  try {
    await what();
  } catch (error) {
    const { code, httpStatus, details, message } = error;
    return { kind: error.constructor.name, code, httpStatus, details, message, error: error.error ?? null };
  }
  return { kind: null };
};
const started = async (job) => {
  for await (const event of job.events()) {
    if (event.kind === "statusChange" && event.status === "running") return job;
  }
  throw new Error(`${job.id} ended before it ran`);
};

const scenarios = {
  async run() {
    const job = await client.run(quick(1001), { timeoutMs: 60_000 });
    const [output] = job.getOutputs("2");
    const file = await output.toFile(join(scratch, "picture.png"));
    const bytes = await output.toBytes();
    return {
      status: job.status,
      type: output.type,
      contentType: output.contentType,
      jobIsNamed: output.jobId === job.id,
      sizeFits: output.sizeBytes === bytes.length && (await readFile(file)).equals(Buffer.from(bytes)),
      magic: base64(await output.toBytes({ range: [0, 7] })),
      tail: (await output.toBytes({ range: [bytes.length - 4, bytes.length + 100] })).length,
    };
  },

  async download() {
    const job = await client.run(quick(1002), { timeoutMs: 60_000 });
    const { url, expiresAt } = await job.outputs[0].getDownloadUrl();
    const fetched = await fetch(url, { headers: { Authorization: `Bearer ${given.key}` } });
    const same = Buffer.from(await fetched.arrayBuffer()).equals(Buffer.from(await job.outputs[0].toBytes()));
    return { url, expiresAt, status: fetched.status, same };
  },

  async events() {
    const job = await client.submit(slow(1003, 100));
    const kinds = [];
    const values = [];
    const statuses = [];
    let preview = null;
    for await (const event of job.events()) {
      kinds.push(event.kind);
      if (event.kind === "progress") values.push(event.value);
      if (event.kind === "statusChange") statuses.push(event.status);
      if (event.kind === "preview") preview = { type: event.contentType, magic: base64(event.data.slice(0, 3)) };
    }
    return { kinds, values, statuses, preview, status: (await job.refresh()).status };
  },

  async rehydrate() {
    const workflow = quick(1004);
    const job = await client.run(workflow, { timeoutMs: 60_000 });
    const again = await client.jobs.get(job.id);
    const { workflow: graph, format } = await again.getWorkflow();
    return { status: again.status, outputs: again.outputs.length, graph, format, sent: workflow.json };
  },

  async assets() {
    const bytes = Buffer.from(given.png, "base64");
    const first = client.assets.fromBytes(bytes, { filename: "röd.png" });
    const job = await client.run(inverted(first), { timeoutMs: 60_000 });
    await writeFile(join(scratch, "again.png"), bytes);
    const again = client.assets.fromFile(join(scratch, "again.png"));
    await again.commit();
    const output = await client.assets.get(job.outputs[0].id);
    const second = await client.run(inverted(output), { timeoutMs: 60_000 });
    const found = await client.assets.get(first.id);
    await again.delete();
    return {
      createdNew: first.createdNew,
      sameHash: (await first.hash()) === (await again.hash()),
      filePath: found.filePath,
      producer: output.jobId === job.id,
      inverted: base64(await job.outputs[0].toBytes()),
      restored: base64(await second.outputs[0].toBytes()),
      original: given.png,
    };
  },

  async cancelRunning() {
    const job = await started(await client.submit(slow(1005, 10_000)));
    const asked = (await job.cancel()).status;
    const raised = await refused(() => job.result());
    return { asked, raised: raised.kind, code: raised.code, status: job.status, again: (await job.cancel()).status };
  },

  async cancelQueued() {
    const busy = [];
    for (const seed of [1006, 1007]) busy.push(await started(await client.submit(slow(seed, 10_000))));
    const queued = await client.submit(quick(1008));
    const asked = await queued.cancel();
    const ended = await asked.wait(30_000);
    const others = [];
    for (const job of busy) others.push((await (await job.cancel()).wait(30_000)).status);
    return { status: ended.status, outputs: ended.outputs.length, others };
  },

  async idempotency() {
    const idempotencyKey = `node ${given.run}`;
    const first = await client.submit(quick(1009), { idempotencyKey });
    const second = await refused(() => client.submit(quick(1009), { idempotencyKey }));
    return { first: (await first.wait(60_000)).status, second };
  },

  async failed() {
    return refused(() => client.run(client.workflows.fromJson(given.failing), { timeoutMs: 60_000 }));
  },

  async refusals() {
    const wrong = quick(1010);
    wrong.json["1"].class_type = "EmptyImag";
    const wide = quick(1011);
    wide.setInput("1", "width", 99_999);
    const unknown = "00000000-0000-4000-8000-000000000000";
    const reference = { __type: "core/ASSET", info: { id: unknown } };
    const stranger = new sdk.Comfy({ apiKey: "atl_wrong" });
    const keyless = new sdk.Comfy();
    const bytes = client.assets.fromBytes(Buffer.from(`other ${given.run}`), { filename: "x.bin" });
    bytes.hashValue = `blake3:${"ab".repeat(32)}`;
    return {
      unknownClass: await refused(() => client.submit(wrong)),
      tooWide: await refused(() => client.submit(wide)),
      editorHere: await refused(() => client.submit(client.workflows.fromJson({ nodes: [], links: [], last_node_id: 1 }))),
      editorThere: await refused(() => client.submit(client.workflows.fromJson({ nodes: [], links: [] }))),
      missingAsset: await refused(() => client.submit(inverted(reference))),
      unauthorized: await refused(() => stranger.jobs.get(unknown)),
      keyless: await refused(() => keyless.jobs.get(unknown)),
      noJob: await refused(() => client.jobs.get(unknown)),
      noAsset: await refused(() => client.assets.get(unknown)),
      deleteTwice: await refused(() => client.assets.delete(unknown)),
      hashMismatch: await refused(() => bytes.commit()),
      tooLarge: await refused(() => client.submit(client.workflows.fromJson({ 1: { inputs: { x: "x".repeat(11_000_000) } } }))),
    };
  },
};

const seen = {};
for (const [name, scenario] of Object.entries(scenarios)) {
  try {
    seen[name] = { answer: await scenario() };
  } catch (error) {
    seen[name] = { crashed: `${error.stack}\n${JSON.stringify(error)}` };
  }
}
process.stdout.write(JSON.stringify(seen));

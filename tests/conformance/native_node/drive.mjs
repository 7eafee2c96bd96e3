// Two native clients as their users call them. Reads what it shall do from stdin, prints what it saw as JSON.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"

const [folder] = process.argv.slice(2)
const given = JSON.parse(readFileSync(0, "utf8"))
const load = (name, file) => import(pathToFileURL(join(folder, "node_modules", name, file)))

const magic = bytes => Buffer.from(bytes).subarray(0, 4).toString("hex")
const png = () => new Blob([Buffer.from(given.png, "base64")], { type: "image/png" })
const said = error => String(error.message).slice(0, 500)

async function saintno(seen) {
  const { ComfyApi, CallWrapper, PromptBuilder } = await load("@saintno/comfyui-sdk", "build/index.esm.js")
  const api = new ComfyApi(given.url, undefined, { credentials: { type: "bearer_token", token: given.key }, forceWs: true })
  await new Promise(resolve => {
    api.on("connected", resolve)
    api.init()
  })
  const call = (graph, output) => {
    const builder = new PromptBuilder(graph, [], ["picture"]).setOutputNode("picture", output)
    return new CallWrapper(api, builder)
  }

  const progress = []
  let previews = 0
  let started = false
  const done = await call(given.slow.graph, given.slow.output)
    .onStart(() => { started = true })
    .onProgress(info => progress.push(info.value))
    .onPreview(() => { previews += 1 })
    .run()
  const image = done.picture.images[0]
  seen.run = { started, progress, previews, magic: magic(await (await api.getImage(image)).arrayBuffer()) }

  const uploaded = await api.uploadImage(png(), "saintno.png")
  const inverted = structuredClone(given.inverted)
  inverted["1"].inputs.image = uploaded.info.filename
  const back = await call(inverted, "3").run()
  seen.upload = {
    name: uploaded.info.filename,
    inverted: Buffer.from(await (await api.getImage(back.picture.images[0])).arrayBuffer()).toString("base64"),
  }

  let failure
  const failed = await call(given.failing, "2").onFailed(error => { failure ??= error }).run()
  seen.failed = { result: failed, said: said(failure) }

  let refusal
  const refused = await call(given.wrong, "2").onFailed(error => { refusal ??= error }).run()
  seen.refused = { result: refused, said: said(refusal), why: refusal.cause?.error?.type }

  let stopped
  const interrupted = await call(given.endless, "7")
    .onProgress(() => api.interrupt())
    .onFailed(error => { stopped ??= error })
    .run()
  seen.interrupted = { result: interrupted, said: said(stopped) }

  seen.reads = {
    features: Object.keys(await api.getFeatures()),
    checkpoints: await api.getCheckpoints(),
    queue: await api.getQueue(),
    histories: Object.keys(await api.getHistories(3)).length,
    samplers: (await api.getSamplerInfo()).sampler?.length > 0,
    system: (await api.getSystemStats()).devices.length > 0,
    nodes: Object.keys(await api.getNodeDefs("SaveImage")),
  }
  api.destroy()
}

async function stableCanvas(seen) {
  const { Client, Workflow } = await load("@stable-canvas/comfyui-client", "dist/main.modern.mjs")
  class KeyedSocket extends WebSocket {
    constructor(url) {
      super(given.key ? `${url}&token=${given.key}` : url)
    }
  }
  const client = new Client({
    api_host: new URL(given.url).host,
    api_base: given.key && `/k/${given.key}`,
    clientId: "stable-canvas",
    WebSocket: KeyedSocket,
    fetch: (...asked) => fetch(...asked),
  })
  await client.connect()
  const bytes = async one => (one.type === "url" ? (await fetch(one.data)).arrayBuffer() : one.data)

  const values = []
  const done = await client.enqueue(given.slow.again, { progress: info => values.push(info.value), disable_random_seed: true })
  seen.run = { values, magic: magic(await bytes(done.images.at(-1))), images: done.images.length, prompt: typeof done.prompt_id }

  const polled = await client.enqueue_polling(given.quick, { polling_ms: 100, timeout_ms: 20000 })
  seen.polled = { magic: magic(await bytes(polled.images[0])) }

  const workflow = new Workflow()
  const { EmptyImage, SaveImage } = workflow.classes
  const [image] = EmptyImage({ width: 40, height: 24, batch_size: 1, color: given.color })
  SaveImage({ images: image, filename_prefix: "built" })
  const built = await workflow.invoke(client)
  seen.built = { magic: magic(await bytes(built.images[0])) }

  seen.failed = await client.enqueue(given.failing, { disable_random_seed: true }).then(() => "it ran", said)
  seen.refused = await client.enqueue(given.wrong, { disable_random_seed: true }).then(() => "it ran", said)

  const { prompt_id: endless } = await client._enqueue_prompt(given.endless)
  const stop = client.on_progress(() => client.interrupt(endless), endless)
  await client.waitForPrompt(endless, 100, 20000)
  stop()
  const { History } = await client.getHistory(1)
  seen.interrupted = History[0].status.messages.at(-1)[0]

  seen.reads = {
    embeddings: await client.getEmbeddings(),
    queue: await client.getQueue(),
    extensions: Array.isArray(await client.getExtensions()),
    system: (await client.getSystemStats()).devices.length > 0,
    nodes: Object.keys(await client.getNodeDefs()).includes("SaveImage"),
  }
  client.close()
}

const clients = { saintno, stableCanvas }
const all = {}
for (const name of given.clients) {
  const patience = new Promise((_, refuse) => setTimeout(() => refuse(new Error("it took too long")), 60_000).unref())
  all[name] = {}
  try {
    await Promise.race([clients[name](all[name]), patience])
  } catch (error) {
    all[name].crashed = `behind ${Object.keys(all[name])}: ${error.stack ?? error}`
  }
}
process.stdout.write(JSON.stringify(all))
process.exit(0)

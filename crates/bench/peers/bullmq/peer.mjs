// BullMQ as one measured process: `node peer.mjs SCENARIO NUMBERS`, see the README beside the Rust sources.
//
// Settings are the documented ones for throughput: one worker with a high concurrency, `addBulk` for batches,
// `removeOnComplete` so that nothing piles up, and ioredis as it comes.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Queue, Worker } from 'bullmq';
import IORedis from 'ioredis';

const [scenario, text] = process.argv.slice(2);
const n = JSON.parse(text);
const require = createRequire(import.meta.url);
const version = (name) => JSON.parse(readFileSync(require.resolve(`${name}/package.json`))).version;
const versions = `bullmq ${version('bullmq')}, ioredis ${version('ioredis')}, node ${process.versions.node}`;

const connect = () => {
  const options = { maxRetriesPerRequest: null };
  return n.url.startsWith('unix://') ? new IORedis({ path: n.url.slice(7), ...options }) : new IORedis(n.url, options);
};
const defaultJobOptions = { removeOnComplete: true, removeOnFail: true };
const queues = [];
const openQueue = (name) => {
  const queue = new Queue(name, { connection: connect(), defaultJobOptions });
  queues.push(queue);
  return queue;
};
const openWorker = (name, handler, options) => {
  const worker = new Worker(name, handler, { connection: connect(), autorun: false, ...options });
  worker.on('error', (error) => process.stderr.write(`${error}\n`));
  return worker;
};

// The data of a job are as long as the stored body of ours, and say the same: for whom, in which context, what.
const TIERS = ['enterprise', 'professional', 'advance', 'free'];
const data = (i) => {
  const tenant = Math.floor(i / n.tiers) % n.tenants_per_tier;
  const job = { i, tenant: `tenant-${tenant}`, tier: TIERS[i % n.tiers], context: `agent-${i % n.contexts}`, query: '' };
  job.query = 'x'.repeat(Math.max(0, n.body - JSON.stringify(job).length));
  return job;
};

// A pipe may take a long line in parts, so nothing ends before it is written.
let written = Promise.resolve();
const print = (value) => {
  written = new Promise((resolve) => { process.stdout.write(`${JSON.stringify(value)}\n`, resolve); });
};
const now = () => process.hrtime.bigint();
const since = (start) => Number(now() - start) / 1e9;

// Standard input: a line `go …`, then bytes that release jobs.
let go;
let onBytes = () => {};
const arrived = [];
process.stdin.on('data', (chunk) => {
  if (go && chunk.length && chunk[0] === 103) {
    const end = chunk.indexOf(10);
    const line = chunk.subarray(0, end).toString();
    const resolve = go;
    go = undefined;
    chunk = chunk.subarray(end + 1);
    if (chunk.length) arrived.push(chunk);
    resolve(line);
    return;
  }
  onBytes(chunk);
});
process.stdin.on('end', () => process.exit(0));
const ready = (settings) => new Promise((resolve) => {
  go = resolve;
  print({ phase: 'ready', settings, version: versions });
});

// Runs `count` loops that take numbers until there are no more.
const inParallel = async (count, total, step, one) => {
  let next = 0;
  const loop = async () => {
    while (next < total) {
      const from = next;
      next = Math.min(total, next + step);
      await one(from, next);
    }
  };
  await Promise.all(Array.from({ length: count }, loop));
};
const range = (from, to) => Array.from({ length: to - from }, (_, k) => from + k);
const addBulk = (queue, from, to, of = data) =>
  queue.addBulk(range(from, to).map((i) => ({ name: 'job', data: of(i) })));
const fill = (queue, jobs) => inParallel(4, jobs, 250, (from, to) => addBulk(queue, from, to));

const scenarios = {
  async enqueue() {
    const queue = openQueue('bench');
    await queue.waitUntilReady();
    const batch = n.batch || 1;
    await ready(batch > 1 ? `addBulk of ${batch}, ${n.in_flight} in flight` : `add, ${n.in_flight} in flight`);
    const start = now();
    await inParallel(n.in_flight, n.jobs, batch, (from, to) =>
      batch > 1 ? addBulk(queue, from, to) : queue.add('job', data(from)));
    print({ phase: 'end', jobs: n.jobs, seconds: since(start) });
  },

  async drain() {
    const queue = openQueue('bench');
    await fill(queue, n.jobs);
    let done = 0;
    let finish;
    const finished = new Promise((resolve) => { finish = resolve; });
    const worker = openWorker('bench', async () => {}, { concurrency: n.concurrency });
    worker.on('completed', () => { if (++done === n.jobs) finish(); });
    await worker.waitUntilReady();
    await ready(`one worker, concurrency ${n.concurrency}`);
    const start = now();
    worker.run();
    await finished;
    print({ phase: 'end', jobs: done, seconds: since(start) });
  },

  async end_to_end() {
    const queue = openQueue('bench');
    let done = 0;
    let added = 0;
    let over = false;
    let finish;
    let wakes = [];
    const finished = new Promise((resolve) => { finish = resolve; });
    const worker = openWorker('bench', async () => {}, { concurrency: n.concurrency });
    worker.on('completed', () => {
      done += 1;
      if (wakes.length && added - done <= n.window - n.batch) {
        wakes.forEach((wake) => wake());
        wakes = [];
      }
      if (over && done === added) finish();
    });
    await worker.waitUntilReady();
    await queue.waitUntilReady();
    await ready(`one worker, concurrency ${n.concurrency}, addBulk of ${n.batch}, 2 in flight`);
    const start = now();
    worker.run();
    const loop = async () => {
      while (since(start) < n.seconds) {
        while (added - done > n.window - n.batch) await new Promise((resolve) => { wakes.push(resolve); });
        const from = added;
        added += n.batch;
        await addBulk(queue, from, from + n.batch);
      }
    };
    // Two bulks in flight, as many as ours has.
    await Promise.all([loop(), loop()]);
    over = true;
    if (done === added) finish();
    await finished;
    print({ phase: 'end', jobs: done, seconds: since(start) });
  },

  async pickup() {
    const queue = openQueue('bench');
    await released(`one worker, concurrency ${n.concurrency}`, {
      add: (i) => queue.add('job', data(i)),
      workers: (handler) => [openWorker('bench', handler, { concurrency: n.concurrency })],
    });
  },

  async fairness() {
    const queue = openQueue('bench');
    await inParallel(4, n.noisy, 250, (from, to) => addBulk(queue, n.jobs + from, n.jobs + to));
    await released(`one queue for all tenants, concurrency ${n.concurrency}`, {
      add: (i) => queue.add('job', data(i)),
      workers: (handler) => [openWorker('bench', handler, { concurrency: n.concurrency })],
    });
  },

  // What the documentation offers without groups: a queue a tenant, each with a worker of its own.
  async fairness_by_queue() {
    const names = Array.from({ length: n.quiet + 1 }, (_, tenant) => `tenant-${tenant}`);
    const byTenant = names.map(openQueue);
    await inParallel(4, n.noisy, 250, (from, to) => addBulk(byTenant[0], n.jobs + from, n.jobs + to));
    await released(`a queue and a worker with concurrency 1 for each of ${names.length} tenants`, {
      add: (i) => byTenant[1 + ((i * 7) % n.quiet)].add('job', data(i)),
      workers: (handler) => names.map((name) => openWorker(name, handler, { concurrency: 1 })),
    });
  },

  async crash() {
    const queue = openQueue('bench');
    if (n.role === 'fill') {
      await ready('');
      await fill(queue, n.jobs);
      print({ phase: 'end', jobs: n.jobs, seconds: 0 });
      return;
    }
    // Locks as long as our leases, and looked for as often as is sensible; the defaults are 30 s for both.
    const options = { concurrency: n.concurrency, lockDuration: 10000, stalledInterval: 5000, maxStalledCount: 3 };
    const worker = openWorker('bench', async (job) => {
      process.stdout.write(`s ${job.data.i}\n`);
      await new Promise((resolve) => { setTimeout(resolve, n.handler_ms); });
      process.stdout.write(`d ${job.data.i}\n`);
    }, options);
    await ready('lockDuration 10 s, stalledInterval 5 s, maxStalledCount 3');
    worker.run();
    await new Promise(() => {});
  },

  async scale() {
    const queue = openQueue('bench');
    await queue.waitUntilReady();
    const settings = `addBulk of 250, 4 in flight, one worker, concurrency ${n.concurrency}`;
    await ready(settings);
    let start = now();
    await fill(queue, n.jobs);
    print({ phase: 'end', jobs: n.jobs, seconds: since(start) });
    let done = 0;
    let finish;
    const finished = new Promise((resolve) => { finish = resolve; });
    const worker = openWorker('bench', async () => {}, { concurrency: n.concurrency });
    worker.on('completed', () => { if (++done === n.jobs) finish(); });
    await worker.waitUntilReady();
    await ready(settings);
    start = now();
    worker.run();
    await finished;
    print({ phase: 'end', jobs: done, seconds: since(start) });
    const pause = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
    await pause(Math.min(3, n.seconds));
    await ready(settings);
    await pause(n.seconds);
    print({ phase: 'end', jobs: 0, seconds: n.seconds });
  },
};

// Adds each job when the harness releases it, and tells how long each waited from the moment at which it was due.
async function released(settings, { add, workers }) {
  const starts = new Array(n.jobs).fill(0n);
  let started = 0;
  let others = 0;
  const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
  const running = workers(async (job) => {
    if (job.data.i < n.jobs) {
      starts[job.data.i] = now();
      started += 1;
    } else {
      others += 1;
    }
    if (n.handler_ms) await pause(n.handler_ms);
  });
  await Promise.all(running.map((worker) => worker.waitUntilReady()));
  let next = 0;
  let finish;
  const allReleased = new Promise((resolve) => { finish = resolve; });
  onBytes = (chunk) => {
    for (let k = 0; k < chunk.length && next < n.jobs; k += 1) {
      add(next).catch((error) => process.stderr.write(`${error}\n`));
      next += 1;
    }
    if (next === n.jobs) finish();
  };
  const first = BigInt((await ready(settings)).slice(3));
  running.forEach((worker) => worker.run());
  arrived.forEach(onBytes);
  await allReleased;
  for (let waited = 0; started < n.jobs && waited < 3000; waited += 5) await pause(5);
  const seconds = Number(now() - first) / 1e9;
  const waits = starts.map((start, i) => {
    const due = first + BigInt(i) * BigInt(n.period_ns);
    if (start === 0n) return null;
    return start > due ? Number(start - due) / 1e3 : 0;
  });
  print({ phase: 'end', jobs: n.jobs, seconds, waits_us: waits, figures: n.noisy ? { noisy_done: others } : {} });
}

await scenarios[scenario]();
await written;
process.exit(0);

// Answers commands by mingo: a line {"docs": [...], "command": {...}} of Extended JSON in, a line of the answer out:
// {"batch": [...]} of a find or an aggregate, {"after": [...], "n": 1} of an update, {"values": [...]} of a distinct, {"count": 1},
// {"error": "..."} or {"skip": "..."} where mingo has no such type or command.
const readline = require('node:readline');
const mingo = require('mingo');

class Skip extends Error {}

const wrappers = {
  $numberInt: Number,
  $numberLong: s => {
    const n = Number(s);
    if (!Number.isSafeInteger(n)) throw new Skip('a long beyond 2^53');
    return n;
  },
  $numberDouble: s => {
    const n = Number(s);
    if (Object.is(n, -0)) throw new Skip('negative zero');
    return n;
  },
  $date: d => new Date(Number(d.$numberLong)),
  $regularExpression: r => {
    if (/[^imsu]/.test(r.options)) throw new Skip('options of a regular expression');
    return new RegExp(r.pattern, r.options);
  },
  $oid: s => 'ObjectId(' + s + ')'
};

function decode(v) {
  if (Array.isArray(v)) return v.map(decode);
  if (v === null || typeof v !== 'object') return v;
  const keys = Object.keys(v);
  if (keys.length === 1 && wrappers[keys[0]]) return wrappers[keys[0]](v[keys[0]]);
  if (/^\$(numberDecimal|binary|timestamp|symbol|code|minKey|maxKey|undefined|any)$/.test(keys[0] ?? '')) throw new Skip(keys[0]);
  return Object.fromEntries(keys.map(k => [k, decode(v[k])]));
}

// encode writes all numbers alike and what JSON lacks as strings.
function encode(v) {
  if (typeof v === 'number') return Number.isFinite(v) ? v : 'Number(' + v + ')';
  if (v instanceof Date) return 'Date(' + v.getTime() + ')';
  if (v instanceof RegExp) return 'RegExp(' + v.source + '/' + v.flags + ')';
  if (Array.isArray(v)) return v.map(x => (x === undefined ? null : encode(x)));
  if (v === null || typeof v !== 'object') return v;
  return Object.fromEntries(Object.entries(v).filter(([, x]) => x !== undefined).map(([k, x]) => [k, encode(x)]));
}

function known(command, fields) {
  for (const k of Object.keys(command).slice(1)) {
    if (!fields.includes(k)) throw new Skip('field ' + k);
  }
}

const commands = {
  find(docs, c) {
    known(c, ['filter', 'sort', 'projection', 'skip', 'limit']);
    let cur = mingo.find(docs, c.filter ?? {}, c.projection);
    if (c.sort) cur = cur.sort(c.sort);
    if (c.skip) cur = cur.skip(c.skip);
    if (c.limit) cur = cur.limit(c.limit);
    return { batch: cur.all() };
  },
  count(docs, c) {
    known(c, ['query']);
    return { count: mingo.find(docs, c.query ?? {}).all().length };
  },
  distinct() {
    throw new Skip('distinct');
  },
  aggregate(docs, c) {
    known(c, ['pipeline', 'cursor']);
    if (c.cursor?.batchSize !== undefined) throw new Skip('batches');
    if (c.pipeline.some(s => s.$lookup)) throw new Skip('other collections');
    return { batch: mingo.aggregate(docs, c.pipeline) };
  },
  update(docs, c) {
    known(c, ['updates']);
    let n = 0;
    for (const s of c.updates) {
      if (s.upsert) throw new Skip('upsert');
      const config = s.arrayFilters ? { arrayFilters: s.arrayFilters } : {};
      if (!Array.isArray(s.u) && !Object.keys(s.u).some(k => k.startsWith('$'))) throw new Skip('replacement');
      n += mingo[s.multi ? 'updateMany' : 'updateOne'](docs, s.q, s.u, config).matchedCount;
    }
    return { after: docs, n };
  }
};

readline.createInterface({ input: process.stdin }).on('line', line => {
  let out;
  try {
    const { docs, command } = JSON.parse(line);
    const name = Object.keys(command)[0];
    if (!commands[name]) throw new Skip(name);
    out = encode(commands[name](decode(docs), decode(command)));
  } catch (e) {
    out = e instanceof Skip ? { skip: e.message } : { error: String(e.message) };
  }
  process.stdout.write(JSON.stringify(out) + '\n');
});

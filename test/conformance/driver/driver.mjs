// Uses a store as any program with MongoDB's own driver would, and fails on the
// first answer that is not MongoDB's. The address is the only argument.
import assert from 'node:assert/strict';
import { GridFSBucket, Long, MongoClient } from 'mongodb';

const client = new MongoClient(process.argv[2], { serverSelectionTimeoutMS: 30000 });
try {
  await client.connect();
  const db = client.db('conformance');
  const c = db.collection('c');
  await c.createIndex({ mailbox: 1, uid: 1 }, { unique: true, name: 'by_uid' });
  await c.insertMany(Array.from({ length: 1000 }, (_, i) => ({ _id: i, mailbox: i % 4, uid: i, flags: ['a', String(i)] })));
  assert.equal(await c.countDocuments({ mailbox: 1 }), 250);
  const page = await c.find({ mailbox: 1, uid: { $gt: 500 } }).sort({ uid: -1 }).batchSize(20).project({ uid: 1 }).toArray();
  assert.equal(page.length, 125);
  assert.deepEqual(page[0], { _id: 997, uid: 997 });
  const counter = await c.findOneAndUpdate({ _id: 0 }, { $inc: { n: Long.fromNumber(5) } }, { returnDocument: 'after' });
  assert.equal(counter.n, 5);
  const bulk = await c.bulkWrite([
    { updateMany: { filter: { mailbox: 2 }, update: { $push: { flags: { $each: ['x'], $position: 0 } } } } },
    { deleteOne: { filter: { _id: 999 } } },
    { replaceOne: { filter: { _id: 'new' }, replacement: { mailbox: 9, uid: 1 }, upsert: true } },
  ], { ordered: false });
  assert.deepEqual([bulk.modifiedCount, bulk.deletedCount, bulk.upsertedCount], [250, 1, 1]);
  await assert.rejects(c.insertOne({ mailbox: 9, uid: 1 }), (e) => e.code === 11000 && e.keyPattern.uid === 1 && e.keyValue.mailbox === 9);
  await assert.rejects(c.find({ $where: 'true' }).toArray(), (e) => e.code > 0);
  const groups = await c.aggregate([{ $match: { mailbox: { $lt: 3 } } }, { $group: { _id: '$mailbox', n: { $sum: 1 } } }, { $sort: { _id: 1 } }]).toArray();
  assert.deepEqual(groups, [{ _id: 0, n: 250 }, { _id: 1, n: 250 }, { _id: 2, n: 250 }]);
  assert.deepEqual((await c.indexes()).map((i) => i.name), ['_id_', 'by_uid']);
  const bucket = new GridFSBucket(db);
  const body = Buffer.alloc(700_000, 'mail');
  const id = await new Promise((done, failed) => {
    const up = bucket.openUploadStream('f');
    up.on('error', failed).on('finish', () => done(up.id)).end(body);
  });
  const back = [];
  for await (const chunk of bucket.openDownloadStream(id)) back.push(chunk);
  assert.ok(Buffer.concat(back).equals(body));
  const plan = await c.find({ mailbox: 1, uid: 5 }).explain('executionStats');
  assert.equal(plan.executionStats.nReturned, 1);
  await db.dropDatabase();
} finally {
  await client.close();
}

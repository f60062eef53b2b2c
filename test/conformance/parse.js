// Parses messages with WildDuck's own code and prints one line of JSON for each: parse.js DIR FILE...
// DIR holds the unpacked package @zone-eu/wildduck. What its message handler requires besides the parser (database, keys, metrics) is
// replaced by a stand-in that does nothing.
'use strict';

const fs = require('fs');
const path = require('path');
const Module = require('module');

const standIn = new Proxy(function () {}, {
    get: (target, name) => (name === Symbol.toPrimitive ? () => '' : standIn),
    apply: () => standIn,
    construct: () => standIn
});

const load = Module._load;
Module._load = function (name, ...rest) {
    try {
        return load.call(this, name, ...rest);
    } catch (err) {
        if (err.code !== 'MODULE_NOT_FOUND') {
            throw err;
        }
        return standIn;
    }
};

const [root, ...files] = process.argv.slice(2);
const Indexer = require(path.join(root, 'imap-core/lib/indexer/indexer'));
const { MessageHandler } = loadHandler();
const { htmlToText } = require('html-to-text');
const { parseListId, parseListUnsubscribe } = require(path.join(root, 'lib/list-headers'));

function loadHandler() {
    const exported = require(path.join(root, 'lib/message-handler'));
    return { MessageHandler: exported.MessageHandler || exported };
}

// Buffers as {b: base64 text}, so that Go can tell them from strings.
function plain(value) {
    if (Buffer.isBuffer(value)) {
        return { b: value.toString('base64') };
    }
    if (Array.isArray(value)) {
        return value.map(plain);
    }
    if (value && typeof value === 'object') {
        return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, plain(v)]));
    }
    return value;
}

function attempt(f) {
    try {
        return f();
    } catch (err) {
        return { failed: err.message };
    }
}

async function threadRefs(handler, subject, mimeTree) {
    let refs, threadSubject;
    const collection = () => ({
        findOneAndUpdate: async query => {
            refs = query.ids.$in;
            threadSubject = query.subject;
            return { value: { _id: 1 } };
        }
    });
    await handler.getThreadIdAsync.call({ normalizeSubject: handler.normalizeSubject, database: { collection } }, 1, subject, mimeTree);
    return { refs, threadSubject };
}

// As the API makes it for a message.
function list(header) {
    if (!header['list-id'] && !header['list-unsubscribe']) {
        return null;
    }
    return { id: parseListId(header['list-id']) || null, unsubscribe: parseListUnsubscribe(header['list-unsubscribe']) };
}

async function parse(file) {
    const handler = MessageHandler.prototype;
    const indexer = new Indexer();
    const raw = fs.readFileSync(file);
    const prepared = await handler.prepareMessageAsync.call(
        { indexer, normalizeSubject: handler.normalizeSubject, generateIndexedHeaders: handler.generateIndexedHeaders },
        { raw, date: '2000-01-01T00:00:00Z' }
    );
    const out = {
        envelope: prepared.envelope,
        bodystructure: prepared.bodystructure,
        headers: prepared.headers,
        subject: prepared.subject,
        hdate: prepared.hdate.getTime(),
        thread: await threadRefs(handler, prepared.subject, prepared.mimeTree),
        list: attempt(() => list(prepared.mimeTree.parsedHeader))
    };
    const maildata = attempt(() => indexer.getMaildata(prepared.mimeTree));
    out.failed = maildata.failed;
    out.tree = prepared.mimeTree;
    out.text = maildata.text || '';
    out.html = maildata.html || [];
    out.attachments = maildata.attachments || [];
    out.nodes = (maildata.nodes || []).map(({ attachmentId, contentType, transferEncoding, lineCount }) => ({ attachmentId, contentType, transferEncoding, lineCount }));
    const html = out.html.join('');
    out.intro = handler.createIntro.call(handler, html ? htmlToText(html) : out.text);
    return out;
}

(async () => {
    for (const file of files) {
        let out;
        try {
            out = await parse(file);
        } catch (err) {
            out = { failed: err.message };
        }
        process.stdout.write(JSON.stringify(plain(out)) + '\n');
    }
})();

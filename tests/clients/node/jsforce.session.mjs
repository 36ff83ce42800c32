// What a sync tool does with jsforce, or with jsforce-node, which Salesforce's own tools are built on.

import assert from 'node:assert/strict';
import { email, given, key, refused, run } from './telling.mjs';

const { default: jsforce } = await import(given('PACKAGE'));

const URL = given('SALESFORCE_URL');
const KEY = `${key()}__c`;
const ids = {};
let connection;
let since;

async function connect() {
  connection = new jsforce.Connection({
    version: '59.0',
    oauth2: { loginUrl: URL, clientId: given('SALESFORCE_CLIENT_ID'), clientSecret: given('SALESFORCE_CLIENT_SECRET') },
  });
  const user = await connection.authorize({ grant_type: 'client_credentials' });
  assert.equal(connection.instanceUrl, URL);
  const identity = await connection.identity();
  assert.equal(identity.user_id, user.id);
  assert.ok((await connection.limits()).DailyApiRequests.Remaining > 0);
  assert.ok((await connection.request('/services/data')).some((one) => one.version === '59.0'));
}

async function describe() {
  const objects = (await connection.describeGlobal()).sobjects;
  assert.equal(objects.find((one) => one.name === 'Contact').keyPrefix, '003');
  await connection.tooling.sobject('CustomField').create({
    FullName: `Contact.${KEY}`,
    Metadata: { type: 'Text', label: "The client's key", length: 40, externalId: true, unique: true },
  });
  const { fields, childRelationships } = await connection.sobject('Contact').describe();
  const shown = Object.fromEntries(fields.map((one) => [one.name, one]));
  assert.ok(shown[KEY].externalId && shown[KEY].unique);
  assert.deepEqual(shown.AccountId.referenceTo, ['Account']);
  assert.ok(Array.isArray(childRelationships));
}

async function create() {
  const account = await connection.sobject('Account').create({ Name: 'Node Works' });
  const [ann, bob] = await connection.sobject('Contact').create([
    { FirstName: 'Ann', LastName: 'Node', Email: email('ann'), AccountId: account.id },
    { LastName: 'Bob', Email: email('bob') },
  ]);
  assert.ok(account.success && ann.success && bob.success);
  Object.assign(ids, { account: account.id, ann: ann.id, bob: bob.id });
  const shown = await connection.sobject('Contact').retrieve(ann.id);
  assert.equal(shown.Name, 'Ann Node');
  const error = await refused(() => connection.sobject('Contact').create({ FirstName: 'Nobody' }));
  assert.equal(error.errorCode, 'REQUIRED_FIELD_MISSING');
}

async function upsert() {
  const body = { [KEY]: 'cy-1', LastName: 'Cy', Email: email('cy') };
  const first = await connection.sobject('Contact').upsert(body, KEY);
  const again = await connection.sobject('Contact').upsert({ ...body, Title: 'twice' }, KEY);
  assert.equal(first.created, true);
  assert.equal(again.created, false);
  assert.equal(first.id, again.id);
  ids.cy = first.id;
  const [many] = await connection.sobject('Contact').upsert([{ ...body, Title: 'thrice' }], KEY);
  assert.deepEqual([many.success, many.id, many.created], [true, first.id, false]);
  assert.equal((await connection.sobject('Contact').retrieve(first.id)).Title, 'thrice');
}

async function read_since() {
  since = (await connection.sobject('Contact').retrieve(ids.ann)).SystemModstamp;
  const rows = await connection
    .sobject('Contact')
    .find(
      { SystemModstamp: { $gte: jsforce.SfDate.toDateTimeLiteral(since) } }, 'Id, Email, Account.Name, SystemModstamp',
    )
    .sort({ SystemModstamp: 1, Id: 1 });
  const seen = new Map(rows.map((row) => [row.Id, row]));
  for (const who of ['ann', 'bob', 'cy']) assert.ok(seen.has(ids[who]), who);
  assert.equal(seen.get(ids.ann).Account.Name, 'Node Works');
  const now = Date.now();
  const changed = await connection.sobject('Contact').updated(new Date(now - 1800_000), new Date(now + 120_000));
  assert.ok(changed.ids.includes(ids.ann));
}

async function pages() {
  const options = { headers: { 'Sforce-Query-Options': 'batchSize=200' } };
  const first = await connection.query('SELECT Id FROM Contact', options);
  assert.equal(first.records.length, 200);
  let page = first;
  const seen = first.records.map((row) => row.Id);
  while (!page.done) {
    page = await connection.queryMore(page.nextRecordsUrl, options);
    seen.push(...page.records.map((row) => row.Id));
  }
  assert.equal(new Set(seen).size, first.totalSize);
  assert.equal(seen.length, first.totalSize);
  const fetched = await connection.query('SELECT Id FROM Contact', { ...options, autoFetch: true, maxFetch: 10_000 });
  assert.equal(fetched.records.length, first.totalSize);
  const everything = await connection.query('SELECT Id FROM Contact', { ...options, scanAll: true, autoFetch: true });
  assert.ok(everything.totalSize >= first.totalSize);
}

async function update() {
  const answer = await connection.sobject('Contact').update({ Id: ids.ann, Phone: '+49 30 1234567', Title: null });
  assert.ok(answer.success);
  const shown = await connection.sobject('Contact').retrieve(ids.ann);
  assert.deepEqual([shown.Phone, shown.Title, shown.FirstName], ['+49 30 1234567', null, 'Ann']);
}

// "delete" is a word of the language.
async function remove() {
  assert.ok((await connection.sobject('Contact').destroy(ids.bob)).success);
  assert.equal((await connection.query(`SELECT Id FROM Contact WHERE Id = '${ids.bob}'`)).totalSize, 0);
}
Object.defineProperty(remove, 'name', { value: 'delete' });

async function read_deleted() {
  const soql = `SELECT Id, IsDeleted FROM Contact WHERE SystemModstamp >= ${since.replace('+0000', 'Z')} ` +
    'AND IsDeleted = true';
  const gone = await connection.query(soql, { scanAll: true });
  assert.ok(gone.records.some((row) => row.Id === ids.bob));
  const now = Date.now();
  const told = await connection.sobject('Contact').deleted(new Date(now - 1800_000), new Date(now + 120_000));
  assert.ok(told.deletedRecords.some((one) => one.id === ids.bob));
}

async function batch() {
  const answers = await connection.sobject('Contact').create([
    { LastName: 'Dee', Email: email('dee') },
    { LastName: 'Bad', Email: 'no address' },
    { LastName: 'Eve', Email: email('eve') },
  ]);
  assert.deepEqual(answers.map((one) => one.success), [true, false, true]);
  assert.equal(answers[1].errors[0].statusCode, 'INVALID_EMAIL_ADDRESS');
}

async function bulk_2() {
  const input = Array.from({ length: 40 }, (_, n) => (
    { LastName: `Bulk ${n}`, Email: n === 7 ? 'no address' : email(`bulk${n}`), [KEY]: `bulk-${n}`, Title: null }
  ));
  const done = await connection.bulk2.loadAndWaitForResults({
    object: 'Contact', operation: 'upsert', externalIdFieldName: KEY, input, pollInterval: 100,
  });
  assert.equal(done.successfulResults.length, 39);
  assert.equal(done.failedResults.length, 1);
  assert.match(done.failedResults[0].sf__Error, /^INVALID_EMAIL_ADDRESS:/);
  assert.equal(done.successfulResults[0].sf__Created, 'true');
  const stream = await connection.bulk2.query(`SELECT Id, Email FROM Contact WHERE ${KEY} LIKE 'bulk-%'`, {
    pollInterval: 100,
  });
  const rows = await stream.toArray();
  assert.equal(rows.length, 39);
  assert.ok(rows.some((row) => row.Email === email('bulk39')));
}

async function bulk_1() {
  const answers = await connection.bulk.load('Contact', 'insert', [
    { LastName: 'Fay', Email: email('fay') }, { FirstName: 'Nobody', LastName: '' },
  ]);
  assert.deepEqual(answers.map((one) => one.success), [true, false]);
  assert.match(answers[1].errors[0], /REQUIRED_FIELD_MISSING/);
  const stream = await connection.bulk.query(`SELECT Id, Email FROM Contact WHERE Email = '${email('fay')}'`);
  assert.deepEqual((await stream.toArray()).map((row) => row.Id), [answers[0].id]);
}

async function login_by_soap() {
  const again = new jsforce.Connection({ loginUrl: URL, version: '59.0' });
  const user = await again.login(
    given('SALESFORCE_USERNAME'), given('SALESFORCE_PASSWORD') + given('SALESFORCE_SECURITY_TOKEN'),
  );
  assert.match(user.id, /^005/);
  assert.equal((await again.sobject('Contact').retrieve(ids.ann)).Email, email('ann'));
}

await run(connect, describe, create, upsert, read_since, pages, update, remove, read_deleted, batch, bulk_2, bulk_1,
  login_by_soap);

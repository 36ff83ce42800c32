// What a sync tool does with @hubspot/api-client.

import assert from 'node:assert/strict';
import { Client } from '@hubspot/api-client';
import { email, given, key, refused, run } from './telling.mjs';

const basePath = given('HUBSPOT_URL');
const KEY = key();
const hubspot = new Client({ accessToken: given('HUBSPOT_TOKEN'), basePath, numberOfApiCallRetries: 3 });
const contacts = hubspot.crm.contacts;
const to = (id, associationTypeId) => (
  { to: { id }, types: [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId }] }
);
const ids = {};
let since;

async function connect() {
  const tokens = await new Client({ basePath }).oauth.tokensApi.create(
    'refresh_token', undefined, undefined, given('HUBSPOT_CLIENT_ID'), given('HUBSPOT_CLIENT_SECRET'),
    given('HUBSPOT_REFRESH_TOKEN'),
  );
  assert.equal(tokens.tokenType, 'bearer');
  const byOAuth = new Client({ accessToken: tokens.accessToken, basePath });
  assert.equal((await byOAuth.crm.contacts.basicApi.getPage(1)).results.length, 1);
  const answer = await hubspot.apiRequest({ path: '/crm/v3/objects/contacts?limit=1' });
  assert.equal((await answer.json()).results.length, 1);
}

async function describe() {
  await hubspot.crm.properties.coreApi.create('contacts', {
    name: KEY, label: "The client's key", type: 'string', fieldType: 'text', groupName: 'contactinformation',
    hasUniqueValue: true,
  });
  const { results } = await hubspot.crm.properties.coreApi.getAll('contacts');
  const shown = Object.fromEntries(results.map((one) => [one.name, one]));
  assert.equal(shown[KEY].hasUniqueValue, true);
  assert.equal(shown.lastmodifieddate.modificationMetadata.readOnlyValue, true);
  assert.ok(shown.lifecyclestage.options.some((one) => one.value === 'customer'));
  assert.ok((await hubspot.crm.owners.ownersApi.getPage()).results.length > 0);
}

async function create() {
  const company = await hubspot.crm.companies.basicApi.create({
    properties: { name: 'Node Works', domain: 'node.example.com' }, associations: [],
  });
  const ann = await contacts.basicApi.create({
    properties: { firstname: 'Ann', lastname: 'Node', email: email('ann') }, associations: [to(company.id, 279)],
  });
  const bob = await contacts.basicApi.create({
    properties: { lastname: 'Bob', email: email('bob') }, associations: [],
  });
  Object.assign(ids, { company: company.id, ann: ann.id, bob: bob.id });
  const shown = await contacts.basicApi.getById(ann.id, ['email', 'phone'], undefined, ['companies']);
  assert.equal(shown.properties.phone, null);
  assert.equal(shown.associations.companies.results[0].id, company.id);
  assert.ok(shown.createdAt instanceof Date);
  const byEmail = await contacts.basicApi.getById(email('ann'), undefined, undefined, undefined, false, 'email');
  assert.equal(byEmail.id, ann.id);
  const pairs = await hubspot.crm.associations.v4.batchApi.getPage('contacts', 'companies', {
    inputs: [{ id: ann.id }],
  });
  assert.equal(String(pairs.results[0].to[0].toObjectId), company.id);
  const twin = { properties: { email: email('ann') }, associations: [] };
  const error = await refused(() => contacts.basicApi.create(twin));
  assert.equal(error.code, 409);
  assert.match(error.body.message, new RegExp(`Existing ID: ${ann.id}`));
}

async function upsert() {
  const once = async (more) => {
    const properties = { [KEY]: 'cy-1', email: email('cy'), lastname: 'Cy', ...more };
    return (await contacts.batchApi.upsert({ inputs: [{ id: 'cy-1', idProperty: KEY, properties }] })).results[0];
  };
  const [first, again] = [await once({}), await once({ jobtitle: 'twice' })];
  assert.deepEqual([first._new, again._new, first.id === again.id], [true, false, true]);
  const shown = await contacts.basicApi.getById('cy-1', ['jobtitle'], undefined, undefined, false, KEY);
  assert.deepEqual([shown.id, shown.properties.jobtitle], [first.id, 'twice']);
  ids.cy = first.id;
}

async function read_since() {
  since = (await contacts.basicApi.getById(ids.ann)).properties.lastmodifieddate;
  const found = [];
  let after;
  let total;
  do {
    const page = await contacts.searchApi.doSearch({
      filterGroups: [{ filters: [{ propertyName: 'lastmodifieddate', operator: 'GTE', value: since }] }],
      sorts: ['hs_object_id'], properties: ['email', 'lastmodifieddate'], limit: 2, after,
    });
    found.push(...page.results);
    total = page.total;
    after = page.paging?.next?.after;
  } while (after);
  assert.equal(found.length, total);
  const seen = new Set(found.map((one) => one.id));
  for (const who of ['ann', 'bob', 'cy']) assert.ok(seen.has(ids[who]), who);
}

async function pages() {
  const everyone = await contacts.getAll(undefined, undefined, ['email']);
  assert.ok(everyone.length > 300);
  assert.equal(new Set(everyone.map((one) => one.id)).size, everyone.length);
  const page = await contacts.basicApi.getPage(50, undefined, undefined, ['email']);
  assert.equal(page.results.length, 50);
  assert.ok(page.results.some((one) => one.propertiesWithHistory.email?.length > 0));
}

async function update() {
  await contacts.basicApi.update(ids.ann, { properties: { phone: '+49 30 1234567' } });
  const { results } = await contacts.batchApi.read({
    inputs: [{ id: ids.ann }], properties: ['phone', 'firstname'], propertiesWithHistory: [],
  });
  assert.deepEqual([results[0].properties.phone, results[0].properties.firstname], ['+49 30 1234567', 'Ann']);
  const error = await refused(() => contacts.basicApi.update(ids.ann, { properties: { no_such_property: 'x' } }));
  assert.equal(error.code, 400);
  assert.match(JSON.stringify(error.body), /PROPERTY_DOESNT_EXIST/);
}

// "delete" is a word of the language.
async function remove() {
  await contacts.basicApi.archive(ids.bob);
  assert.equal((await refused(() => contacts.basicApi.getById(ids.bob))).code, 404);
}
Object.defineProperty(remove, 'name', { value: 'delete' });

async function read_deleted() {
  const gone = await contacts.getAll(undefined, undefined, undefined, undefined, undefined, true);
  const bob = gone.find((one) => one.id === ids.bob);
  assert.ok(bob.archived && bob.archivedAt instanceof Date);
  assert.ok(!gone.some((one) => one.id === ids.ann));
}

async function batch() {
  const people = { dee: email('dee'), bad: 'no address', eve: email('eve') };
  const inputs = (traced) => Object.entries(people).map(([who, address]) => ({
    properties: { lastname: who, email: address }, associations: [], ...(traced ? { objectWriteTraceId: who } : {}),
  }));
  const error = await refused(() => contacts.batchApi.create({ inputs: inputs(false) }));
  assert.equal(error.code, 400);
  const partly = await contacts.batchApi.create({ inputs: inputs(true) });
  assert.deepEqual(partly.results.map((one) => one.properties.email).sort(), [email('dee'), email('eve')]);
  assert.equal(partly.numErrors, 1);
  assert.deepEqual(partly.errors[0].context.objectWriteTraceId, ['bad']);
}

async function other_objects() {
  const ticket = await hubspot.crm.tickets.basicApi.create({
    properties: { subject: 'It does not start', hs_pipeline: '0', hs_pipeline_stage: '1' },
    associations: [to(ids.ann, 16)],
  });
  const shown = await hubspot.crm.tickets.basicApi.getById(ticket.id, undefined, undefined, ['contacts']);
  assert.equal(shown.associations.contacts.results[0].id, ids.ann);
  const note = await hubspot.crm.objects.notes.basicApi.create({
    properties: { hs_timestamp: '2026-01-02T03:04:05Z', hs_note_body: 'She called.' }, associations: [to(ids.ann, 202)],
  });
  assert.ok(note.id);
  const { results } = await hubspot.crm.pipelines.pipelinesApi.getAll('tickets');
  assert.equal(results[0].stages.find((one) => one.id === '4').metadata.ticketState, 'CLOSED');
  assert.ok(Array.isArray((await hubspot.crm.schemas.coreApi.getAll()).results));
}

await run(connect, describe, create, upsert, read_since, pages, update, remove, read_deleted, batch, other_objects);

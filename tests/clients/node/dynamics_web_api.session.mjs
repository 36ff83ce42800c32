// What a sync tool does with dynamics-web-api.

import assert from 'node:assert/strict';
import { DynamicsWebApi } from 'dynamics-web-api';
import { email, given, key, refused, run } from './telling.mjs';

const serverUrl = given('DYNAMICS_URL');
const KEY = `new_${key()}`;
const ids = {};
let since;
let delta;

async function onTokenRefresh() {
  const answer = await fetch(`${given('DYNAMICS_AUTHORITY')}/oauth2/v2.0/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials', client_id: given('DYNAMICS_CLIENT_ID'),
      client_secret: given('DYNAMICS_CLIENT_SECRET'), scope: `${serverUrl}/.default`,
    }),
  });
  return (await answer.json()).access_token;
}

const api = new DynamicsWebApi({ serverUrl, dataApi: { version: '9.2' }, onTokenRefresh });
const label = (text) => ({
  '@odata.type': 'Microsoft.Dynamics.CRM.Label',
  LocalizedLabels: [{ '@odata.type': 'Microsoft.Dynamics.CRM.LocalizedLabel', Label: text, LanguageCode: 1033 }],
});

async function connect() {
  const me = await api.callFunction('WhoAmI');
  assert.ok(me.UserId && me.OrganizationId);
}

async function describe() {
  const names = new DynamicsWebApi({ serverUrl, dataApi: { version: '9.2' }, onTokenRefresh, useEntityNames: true });
  const [row] = (await names.retrieveMultiple({ collection: 'contact', select: ['contactid'], top: 1 })).value;
  assert.match(row.contactid, /^[0-9a-f-]{36}$/);
  const table = await api.retrieveEntity({ key: "LogicalName='contact'" });
  assert.deepEqual([table.EntitySetName, table.PrimaryIdAttribute], ['contacts', 'contactid']);
  if (!table.ChangeTrackingEnabled) await api.updateEntity({ data: { ...table, ChangeTrackingEnabled: true } });
  const tracked = await api.retrieveEntity({ key: table.MetadataId, select: ['ChangeTrackingEnabled'] });
  assert.equal(tracked.ChangeTrackingEnabled, true);
  await api.createAttribute({
    entityKey: "LogicalName='contact'",
    data: {
      '@odata.type': 'Microsoft.Dynamics.CRM.StringAttributeMetadata', SchemaName: KEY, MaxLength: 40,
      AttributeType: 'String', AttributeTypeName: { Value: 'StringType' }, FormatName: { Value: 'Text' },
      RequiredLevel: { Value: 'None' }, DisplayName: label("The client's key"), Description: label('Set by a test'),
    },
  });
  await api.create({
    collection: 'EntityDefinitions', key: "LogicalName='contact'", navigationProperty: 'Keys',
    data: { SchemaName: `${KEY}_key`, KeyAttributes: [KEY], DisplayName: label("The client's key") },
  });
  const { value } = await api.retrieveAttributes({
    entityKey: "LogicalName='contact'", select: ['LogicalName', 'AttributeType', 'IsValidForUpdate'],
  });
  const shown = Object.fromEntries(value.map((one) => [one.LogicalName, one]));
  assert.equal(shown[KEY].AttributeType, 'String');
  assert.equal(shown.createdon.IsValidForUpdate, false);
  const options = await api.retrieveAttributes({
    entityKey: "LogicalName='contact'", castType: 'Microsoft.Dynamics.CRM.PicklistAttributeMetadata',
    select: ['LogicalName'], expand: [{ property: 'OptionSet' }],
  });
  const gender = options.value.find((one) => one.LogicalName === 'gendercode');
  assert.deepEqual(gender.OptionSet.Options.map((one) => one.Value), [1, 2]);
}

async function create() {
  const account = await api.create({
    collection: 'accounts', data: { name: 'Node Works' }, returnRepresentation: true,
  });
  ids.account = account.accountid;
  ids.ann = await api.create({
    collection: 'contacts',
    data: {
      firstname: 'Ann', lastname: 'Node', emailaddress1: email('ann'),
      'parentcustomerid_account@odata.bind': `/accounts(${ids.account})`,
    },
  });
  assert.match(ids.ann, /^[0-9a-f-]{36}$/);
  ids.bob = await api.create({ collection: 'contacts', data: { lastname: 'Bob', emailaddress1: email('bob') } });
  const shown = await api.retrieve({
    collection: 'contacts', key: ids.ann, select: ['fullname', '_parentcustomerid_value'], includeAnnotations: '*',
    expand: [{ property: 'parentcustomerid_account', select: ['name'] }],
  });
  assert.equal(shown.fullname, 'Ann Node');
  assert.equal(shown.parentcustomerid_account.name, 'Node Works');
  assert.equal(shown['_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname'], 'account');
  const error = await refused(() => api.create({ collection: 'contacts', data: { no_such_column: 1 } }));
  assert.equal(error.status, 400);
  assert.match(error.code, /^0x80048d19$/i);
}

async function upsert() {
  const data = { lastname: 'Cy', emailaddress1: email('cy'), [KEY]: 'cy-1' };
  const once = (more) => api.upsert({
    collection: 'contacts', key: `${KEY}='cy-1'`, data: { ...data, ...more }, returnRepresentation: true,
    select: ['contactid', 'jobtitle'],
  });
  const [first, again] = [await once({}), await once({ jobtitle: 'twice' })];
  assert.equal(first.contactid, again.contactid);
  assert.equal(again.jobtitle, 'twice');
  ids.cy = first.contactid;
  const stopped = await refused(() => api.update({
    collection: 'contacts', key: '00000000-0000-4000-8000-00000000beef', data: { jobtitle: 'nobody' },
  }));
  assert.equal(stopped.status, 404);
}

async function read_since() {
  const ann = await api.retrieve({ collection: 'contacts', key: ids.ann, select: ['modifiedon'] });
  since = ann.modifiedon.toISOString?.() ?? ann.modifiedon;
  const { value } = await api.retrieveAll({
    collection: 'contacts', select: ['contactid', 'modifiedon'], filter: `modifiedon ge ${since}`,
    orderBy: ['modifiedon asc'], maxPageSize: 2,
  });
  const seen = new Set(value.map((row) => row.contactid));
  for (const who of ['ann', 'bob', 'cy']) assert.ok(seen.has(ids[who]), who);
  const all = await api.retrieveAll({ collection: 'contacts', select: ['lastname'], trackChanges: true });
  delta = all.oDataDeltaLink;
  assert.ok(delta.startsWith(serverUrl));
}

async function pages() {
  const seen = [];
  let request = { collection: 'contacts', select: ['contactid'], maxPageSize: 100, count: true };
  let page = await api.retrieveMultiple(request);
  const total = page.oDataCount;
  let turns = 1;
  seen.push(...page.value);
  while (page.oDataNextLink) {
    page = await api.retrieveMultiple(request, page.oDataNextLink);
    seen.push(...page.value);
    turns += 1;
  }
  assert.ok(turns > 3);
  assert.equal(new Set(seen.map((row) => row.contactid)).size, total);
  assert.equal(await api.count({ collection: 'contacts' }), total);
  const filter = seen.slice(0, 60).map((row) => `contactid eq ${row.contactid}`).join(' or ');
  const found = await api.retrieveMultiple({ collection: 'contacts', select: ['contactid'], filter });
  assert.equal(found.value.length, 60, 'a path of more than 2,000 characters goes as a batch');
}

async function update() {
  const shown = await api.update({
    collection: 'contacts', key: ids.ann, data: { telephone1: '+49 30 1234567' }, returnRepresentation: true,
    select: ['telephone1', 'firstname'],
  });
  assert.deepEqual([shown.telephone1, shown.firstname], ['+49 30 1234567', 'Ann']);
  const etag = shown['@odata.etag'];
  await api.updateSingleProperty({ collection: 'contacts', key: ids.ann, fieldValuePair: { jobtitle: 'Chief' } });
  const stale = { collection: 'contacts', key: ids.ann, data: { jobtitle: 'late' }, ifmatch: etag };
  assert.equal(await api.update(stale), false, 'how this client tells of a 412');
}

// "delete" is a word of the language.
async function remove() {
  await api.deleteRecord({ collection: 'contacts', key: ids.bob });
  const error = await refused(() => api.retrieve({ collection: 'contacts', key: ids.bob, select: ['contactid'] }));
  assert.equal(error.status, 404);
  await api.deleteRecord({ collection: 'contacts', key: ids.ann, property: 'jobtitle' });
  const ann = await api.retrieve({ collection: 'contacts', key: ids.ann, select: ['jobtitle'] });
  assert.equal(ann.jobtitle, null);
}
Object.defineProperty(remove, 'name', { value: 'delete' });

async function read_deleted() {
  const page = await api.retrieveMultiple({ collection: 'contacts', trackChanges: true }, delta);
  assert.ok(page.value.some((row) => row.id === ids.bob && row.reason === 'deleted'));
  assert.ok(page.value.some((row) => row.contactid === ids.ann));
  assert.notEqual(page.oDataDeltaLink, delta);
}

async function batch() {
  const send = (rows, continueOnError) => {
    api.startBatch();
    for (const data of rows) api.create({ collection: 'contacts', data, inChangeSet: false });
    return api.executeBatch({ continueOnError });
  };
  const good = (who) => ({ lastname: who, emailaddress1: email(who) });
  const bad = { lastname: 'x'.repeat(60), emailaddress1: email('bad') };
  const answers = await send([good('dee'), bad, good('eve')], true);
  assert.equal(answers.length, 3);
  assert.match(answers[0], /^[0-9a-f-]{36}$/);
  assert.equal(answers[1].error.code, '0x80044331');
  assert.match(answers[2], /^[0-9a-f-]{36}$/);
  api.startBatch();
  api.create({ collection: 'accounts', data: { name: 'Change set' }, contentId: '1' });
  api.create({ collection: 'contacts', data: { ...good('fay'), 'parentcustomerid_account@odata.bind': '$1' } });
  const both = await api.executeBatch();
  const fay = await api.retrieve({ collection: 'contacts', key: both[1], select: ['_parentcustomerid_value'] });
  assert.equal(fay._parentcustomerid_value, both[0]);
  api.startBatch();
  api.create({ collection: 'contacts', data: good('gus') });
  api.create({ collection: 'contacts', data: bad });
  await refused(() => api.executeBatch());
  const { value } = await api.retrieveMultiple({
    collection: 'contacts', select: ['contactid'], filter: `emailaddress1 eq '${email('gus')}'`,
  });
  assert.equal(value.length, 0, 'a change set is all or nothing');
}

async function bulk() {
  const made = await api.callAction({
    actionName: 'Microsoft.Dynamics.CRM.CreateMultiple', collection: 'contacts',
    action: { Targets: ['hal', 'ida'].map((who) => (
      { '@odata.type': 'Microsoft.Dynamics.CRM.contact', lastname: who, emailaddress1: email(who) }
    )) },
  });
  assert.equal(made.Ids.length, 2);
}

async function fetch_xml() {
  const fetchXml = `<fetch count="200"><entity name="contact"><attribute name="contactid" /><order attribute="contactid" />
    </entity></fetch>`;
  const all = await api.fetchAll({ collection: 'contacts', fetchXml, includeAnnotations: '*' });
  assert.equal(all.value.length, await api.count({ collection: 'contacts' }));
  assert.equal(new Set(all.value.map((row) => row.contactid)).size, all.value.length);
}

await run(connect, describe, create, upsert, read_since, pages, update, remove, read_deleted, batch, bulk, fetch_xml);

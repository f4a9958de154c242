// What the test of @clickhouse/client does: prints one JSON object that says how each part went.
const { createClient } = require('@clickhouse/client')

const quiet = { log: { level: 127 } }

async function collect(rows) {
  let count = 0
  for await (const chunk of rows.stream()) count += chunk.length
  return count
}

async function main(url) {
  const found = {}
  const client = createClient({ url, compression: { request: true, response: true }, ...quiet })
  found.ping = (await client.ping()).success
  await client.command({ query: 'DROP TABLE IF EXISTS javascript' })
  await client.command({ query: 'CREATE TABLE javascript (a UInt64, b String) ENGINE = MergeTree ORDER BY a' })
  const values = [{ a: 1, b: 'x' }, { a: '2', b: "y'\n" }]
  const inserted = await client.insert({ table: 'javascript', values, format: 'JSONEachRow' })
  found.written = inserted.summary.written_rows
  const settings = { output_format_json_quote_64bit_integers: 1 }
  const rows = await client.query({ query: 'SELECT * FROM javascript ORDER BY a', format: 'JSON', clickhouse_settings: settings })
  found.rows = (await rows.json()).data
  const byParameter = { query: 'SELECT b FROM javascript WHERE a = {a:UInt64}', query_params: { a: 2 }, format: 'JSONEachRow' }
  const parameter = await client.query(byParameter)
  found.parameter = (await parameter.json())[0].b
  found.streamed = await collect(await client.query({ query: 'SELECT number FROM numbers(300000)', format: 'JSONEachRow' }))
  await client.query({ query: 'SELECT nope' }).catch((error) => { found.error = `${error.code} ${error.type}` })
  const failing = 'SELECT number, sleepEachRow(0.01), throwIf(number = 60) FROM numbers(200)'
  await client
    .query({ query: failing, format: 'JSONEachRow', clickhouse_settings: { max_block_size: '1' } })
    .then(collect)
    .catch((error) => { found.in_stream = error.code })
  const session = createClient({ url, session_id: 'of-javascript', ...quiet })
  await session.command({ query: 'CREATE TEMPORARY TABLE brief (a Int8)' })
  await session.insert({ table: 'brief', values: [[1], [2]], format: 'JSONCompactEachRow' })
  found.session = (await (await session.query({ query: 'SELECT sum(a) FROM brief', format: 'TabSeparated' })).text()).trim()
  const executed = await client.exec({ query: 'SELECT 1 FORMAT CSV' })
  found.exec = ''
  for await (const chunk of executed.stream) found.exec += chunk
  const controller = new AbortController()
  setTimeout(() => controller.abort(), 300)
  const long = 'SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(rand())'
  await client.query({ query: long, abort_signal: controller.signal }).catch(() => {})
  const running = "SELECT count() AS c FROM system.processes WHERE query LIKE '%numbers(1000000000000)%' AND query NOT LIKE '%processes%'"
  for (let attempt = 0; attempt < 200 && !found.gone; attempt++) {
    found.gone = (await (await client.query({ query: running, format: 'JSONEachRow' })).json())[0].c == 0
    if (!found.gone) await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await client.command({ query: 'DROP TABLE javascript' })
  await client.close()
  await session.close()
  process.stdout.write(JSON.stringify(found))
}

main(process.argv[2]).catch((error) => {
  console.error(error)
  process.exit(1)
})

'use strict'
// A mail queue as applications have them: jobs in a directory, sent by nodemailer's pool. What fails for now is tried again after a pause,
// what is refused or too old is put aside. node nodemailer.js SETTINGS
const fs = require('fs')
const path = require('path')
const { createTransport } = require('nodemailer')

const settings = JSON.parse(fs.readFileSync(process.argv[2]))
const pool = { pool: true, host: settings.host, port: settings.port, ignoreTLS: true, maxConnections: settings.concurrency }
if (settings.timeout) pool.socketTimeout = settings.timeout * 1000
const transport = createTransport(pool)
const sending = new Set()

function log(job, event, error) {
  const line = { time: new Date().toISOString(), queue_id: job.id, event, sender: job.sender, recipient: job.recipient }
  if (error) line.text = String(error.response || error.message)
  if (error && error.responseCode) line.code = error.responseCode
  fs.appendFileSync(settings.log, JSON.stringify(line) + '\n')
}

function ended(job, error) {
  const file = path.join(settings.queue, job.id)
  sending.delete(job.id)
  if (!error || error.responseCode >= 500) {
    log(job, error ? 'bounced' : 'sent', error)
    fs.renameSync(file + '.json', path.join(settings.done, job.id + '.json'))
    fs.unlinkSync(file + '.eml')
    return
  }
  log(job, 'deferred', error)
  const now = Date.now() / 1000
  if (now - job.arrived >= settings.lifetime) {
    log(job, 'expired', error)
    fs.renameSync(file + '.json', path.join(settings.done, job.id + '.json'))
    fs.unlinkSync(file + '.eml')
    return
  }
  job.next = now + settings.pauses[Math.min(job.attempts, settings.pauses.length - 1)]
  job.attempts++
  fs.writeFileSync(file + '.new', JSON.stringify(job))
  fs.renameSync(file + '.new', file + '.json')
}

function run() {
  for (const name of fs.readdirSync(settings.queue).sort()) {
    const id = path.basename(name, '.json')
    if (id === name || sending.has(id)) continue
    if (sending.size >= settings.concurrency) break
    const job = JSON.parse(fs.readFileSync(path.join(settings.queue, name)))
    if (job.next > Date.now() / 1000) continue
    sending.add(id)
    const raw = fs.readFileSync(path.join(settings.queue, id + '.eml'))
    transport.sendMail({ envelope: { from: job.sender, to: [job.recipient] }, raw }, (error) => ended(job, error))
  }
}

setInterval(run, 100)
console.log('ready')

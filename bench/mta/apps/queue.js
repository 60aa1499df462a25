'use strict'
// A mail queue as applications have them: jobs in a directory, several sent at a time. What fails for now is tried again after a pause, what is
// refused or too old is put aside. The program beside it that uses a library is run with a file of settings.
const fs = require('fs')
const path = require('path')

const settings = JSON.parse(fs.readFileSync(process.argv[2]))
const sending = new Set()

function log(job, event, error) {
  const line = { time: new Date().toISOString(), queue_id: job.id, event, sender: job.sender, recipient: job.recipient }
  if (error) line.text = String(error.response || error.message)
  if (error && error.responseCode) line.code = error.responseCode
  fs.appendFileSync(settings.log, JSON.stringify(line) + '\n')
}

function putAside(job, event, error) {
  log(job, event, error)
  const file = path.join(settings.queue, job.id)
  fs.renameSync(file + '.json', path.join(settings.done, job.id + '.json'))
  fs.unlinkSync(file + '.eml')
}

function ended(job, error) {
  sending.delete(job.id)
  if (!error) return putAside(job, 'sent')
  if (error.responseCode >= 500) return putAside(job, 'bounced', error)
  log(job, 'deferred', error)
  const now = Date.now() / 1000
  if (now - job.arrived >= settings.lifetime) return putAside(job, 'expired', error)
  const file = path.join(settings.queue, job.id)
  job.next = now + settings.pauses[Math.min(job.attempts, settings.pauses.length - 1)]
  job.attempts++
  fs.writeFileSync(file + '.new', JSON.stringify(job))
  fs.renameSync(file + '.new', file + '.json')
}

function run(send) {
  for (const name of fs.readdirSync(settings.queue).sort()) {
    const id = path.basename(name, '.json')
    if (id === name || sending.has(id)) continue
    if (sending.size >= settings.concurrency) break
    const job = JSON.parse(fs.readFileSync(path.join(settings.queue, name)))
    if (job.next > Date.now() / 1000) continue
    sending.add(id)
    send(job, fs.readFileSync(path.join(settings.queue, id + '.eml')), (error) => ended(job, error))
  }
}

// serve sends all jobs by send(job, message, callback), whose error may have a responseCode.
exports.serve = (send) => {
  setInterval(run, 100, send)
  console.log('ready')
}
exports.settings = settings

'use strict'
// A queue that sends by nodemailer's pool: node nodemailer.js SETTINGS
const { createTransport } = require('nodemailer')
const { serve, settings } = require('./queue')

const options = { pool: true, host: settings.host, port: settings.port, ignoreTLS: true, maxConnections: settings.concurrency }
if (settings.timeout) options.socketTimeout = settings.timeout * 1000
const transport = createTransport(options)

serve((job, raw, done) => transport.sendMail({ envelope: { from: job.sender, to: [job.recipient] }, raw }, done))

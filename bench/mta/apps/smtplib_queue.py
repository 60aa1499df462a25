"""A mail queue as applications have them: jobs in a directory, each sent over a connection of its own by a thread of a pool, as the workers
of a task queue do. What fails for now is tried again after a pause, what is refused or too old is put aside. smtplib_queue.py SETTINGS"""
import concurrent.futures
import datetime
import json
import os
import smtplib
import sys
import threading
import time

with open(sys.argv[1], encoding="utf-8") as file:
    settings = json.load(file)
log_lock = threading.Lock()
sending = set()


def path(job, suffix):
    return os.path.join(settings["queue"], job["id"] + suffix)


def log(job, event, code=None, text=None):
    now = datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    line = {"time": now, "queue_id": job["id"], "event": event, "sender": job["sender"], "recipient": job["recipient"]}
    if code:
        line["code"] = code
    if text:
        line["text"] = text
    with log_lock, open(settings["log"], "a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")


def send(job):
    options = {"timeout": settings["timeout"]} if settings["timeout"] else {}
    with open(path(job, ".eml"), "rb") as eml:
        message = eml.read()
    with smtplib.SMTP(settings["host"], settings["port"], **options) as server:
        server.sendmail(job["sender"], [job["recipient"]], message)


def put_aside(job):
    os.rename(path(job, ".json"), os.path.join(settings["done"], job["id"] + ".json"))
    os.unlink(path(job, ".eml"))


def attempt(job):
    code, text = 0, ""
    try:
        send(job)
    except smtplib.SMTPRecipientsRefused as refused:
        code, reason = refused.recipients[job["recipient"]]
        text = "%d %s" % (code, reason.decode("utf-8", "replace"))
    except smtplib.SMTPResponseException as failed:
        code = failed.smtp_code
        text = "%d %s" % (code, failed.smtp_error.decode("utf-8", "replace") if isinstance(failed.smtp_error, bytes) else failed.smtp_error)
    except (OSError, smtplib.SMTPException) as failed:
        text = str(failed) or type(failed).__name__
    else:
        log(job, "sent")
        put_aside(job)
        return
    if code >= 500:
        log(job, "bounced", code, text)
        put_aside(job)
        return
    log(job, "deferred", code if code > 0 else None, text)
    now = time.time()
    if now - job["arrived"] >= settings["lifetime"]:
        log(job, "expired", code if code > 0 else None, text)
        put_aside(job)
        return
    job["next"] = now + settings["pauses"][min(job["attempts"], len(settings["pauses"]) - 1)]
    job["attempts"] += 1
    with open(path(job, ".new"), "w", encoding="utf-8") as out:
        json.dump(job, out)
    os.rename(path(job, ".new"), path(job, ".json"))


def work(job):
    try:
        attempt(job)
    finally:
        sending.discard(job["id"])


with concurrent.futures.ThreadPoolExecutor(settings["concurrency"]) as pool:
    print("ready", flush=True)
    while True:
        for name in sorted(os.listdir(settings["queue"])):
            key, suffix = os.path.splitext(name)
            if suffix != ".json" or key in sending:
                continue
            if len(sending) >= settings["concurrency"]:
                break
            try:
                with open(os.path.join(settings["queue"], name), encoding="utf-8") as file:
                    job = json.load(file)
            except FileNotFoundError:
                continue  # sent a moment ago
            if job["next"] <= time.time():
                sending.add(key)
                pool.submit(work, job)
        time.sleep(0.1)

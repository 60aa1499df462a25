<?php
// A mail queue as applications have them: jobs in a directory, sent one after the other by PHPMailer over a connection that is kept, as a script
// behind cron or a worker does. What fails for now is tried again after a pause, what is refused or too old is put aside.
// php phpmailer.php SETTINGS
use PHPMailer\PHPMailer\Exception;
use PHPMailer\PHPMailer\PHPMailer;

$settings = json_decode(file_get_contents($argv[1]), true);
foreach (['Exception', 'PHPMailer', 'SMTP'] as $class) {
    require $settings['library'] . "/$class.php";
}

function note(array $job, string $event, int $code = 0, string $text = ''): void
{
    global $settings;
    $line = ['time' => (new DateTime('now', new DateTimeZone('UTC')))->format('Y-m-d\TH:i:s.u\Z'), 'queue_id' => $job['id'], 'event' => $event,
        'sender' => $job['sender'], 'recipient' => $job['recipient']];
    if ($code) {
        $line['code'] = $code;
    }
    if ($text !== '') {
        $line['text'] = $text;
    }
    file_put_contents($settings['log'], json_encode($line, JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE) . "\n", FILE_APPEND | LOCK_EX);
}

// compose takes a message apart, and makes it again with the library.
function compose(PHPMailer $mail, array $job, string $eml): void
{
    [$head, $body] = explode("\r\n\r\n", $eml, 2);
    $mail->clearAllRecipients();
    $mail->clearCustomHeaders();
    $mail->Sender = $job['sender'];
    $mail->setFrom($job['sender'], '', false);
    $mail->addAddress($job['recipient']);
    foreach (explode("\r\n", preg_replace('/\r\n[ \t]+/', ' ', $head)) as $line) {
        [$name, $value] = array_map('trim', explode(':', $line, 2));
        match (strtolower($name)) {
            'subject' => $mail->Subject = $value,
            'message-id' => $mail->MessageID = $value,
            'date' => $mail->MessageDate = $value,
            'x-storm-id' => $mail->addCustomHeader($name, $value),
            default => null,
        };
    }
    $mail->Body = $body;
}

function putAside(array $job): void
{
    global $settings;
    rename("{$settings['queue']}/{$job['id']}.json", "{$settings['done']}/{$job['id']}.json");
    unlink("{$settings['queue']}/{$job['id']}.eml");
}

function attempt(PHPMailer $mail, array $job): void
{
    global $settings;
    $file = "{$settings['queue']}/{$job['id']}";
    try {
        compose($mail, $job, file_get_contents("$file.eml"));
        $mail->send();
        note($job, 'sent');
        putAside($job);
        return;
    } catch (Exception $failed) {
        $error = $mail->getSMTPInstance()->getError();
        $code = (int) $error['smtp_code'];
        $text = trim($failed->getMessage() . ' ' . $error['detail']);
    }
    $mail->smtpClose(); // whatever state it is in
    if ($code === 0 && preg_match('/\b([45]\d\d)[ -]/', $text, $found)) {
        $code = (int) $found[1];
    }
    if ($code >= 500) {
        note($job, 'bounced', $code, $text);
        putAside($job);
        return;
    }
    note($job, 'deferred', $code, $text);
    if (microtime(true) - $job['arrived'] >= $settings['lifetime']) {
        note($job, 'expired', $code, $text);
        putAside($job);
        return;
    }
    $job['next'] = microtime(true) + $settings['pauses'][min($job['attempts'], count($settings['pauses']) - 1)];
    $job['attempts']++;
    file_put_contents("$file.new", json_encode($job, JSON_UNESCAPED_SLASHES));
    rename("$file.new", "$file.json");
}

$mail = new PHPMailer(true);
$mail->isSMTP();
$mail->Host = $settings['host'];
$mail->Port = $settings['port'];
$mail->SMTPAutoTLS = false;
$mail->SMTPKeepAlive = true;
$mail->CharSet = 'us-ascii';
$mail->Encoding = '7bit';
$mail->XMailer = ' ';
PHPMailer::$validator = fn ($address) => str_contains($address, '@');
if ($settings['timeout']) {
    $mail->Timeout = $settings['timeout'];
}
echo "ready\n";
while (true) {
    foreach (glob("{$settings['queue']}/*.json") as $name) {
        $job = json_decode(file_get_contents($name), true);
        if ($job['next'] <= microtime(true)) {
            attempt($mail, $job);
        }
    }
    usleep(100_000);
}

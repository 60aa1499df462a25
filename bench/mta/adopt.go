package mta

import (
	"fmt"
	"slices"
	"strings"
)

// Adopt makes of the main configuration file of an engineer's own MTA the lines that a private instance takes as Options.Extra: all but those that
// say where it lives, where it listens, and where its mail goes. aside are the lines that were left out. It can be done for Postfix (main.cf).
func Adopt(name, text string) (extra string, aside []string, err error) {
	if name != "postfix" {
		return "", nil, fmt.Errorf("a configuration file of one's own can be taken for postfix only, not for %s", name)
	}
	var kept strings.Builder
	left := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch trimmed := strings.TrimSpace(line); {
		case trimmed == "" || trimmed[0] == '#': // comments don't end a logical line (postconf(5))
			continue
		case line[0] != ' ' && line[0] != '\t': // else it continues the line before
			parameter, _, found := strings.Cut(trimmed, "=")
			if !found {
				return "", nil, fmt.Errorf("line %q has no =", trimmed)
			}
			left = slices.Contains(postfixOwn(), strings.TrimSpace(parameter))
		}
		if left {
			aside = append(aside, line)
			continue
		}
		kept.WriteString(line + "\n")
	}
	return kept.String(), aside, nil
}

// postfixOwn are the parameters by which an instance is private.
func postfixOwn() []string {
	return strings.Fields(`queue_directory data_directory command_directory daemon_directory sendmail_path newaliases_path mailq_path mail_owner setgid_group config_directory
		inet_interfaces inet_protocols relayhost transport_maps mynetworks mynetworks_style maillog_file maillog_file_prefixes maillog_file_permissions import_environment
		alias_maps alias_database mydestination local_recipient_maps virtual_alias_maps virtual_alias_domains virtual_mailbox_domains relay_domains smtpd_relay_restrictions
		smtpd_recipient_restrictions smtpd_client_restrictions smtpd_sender_restrictions smtpd_helo_restrictions smtpd_data_restrictions smtpd_milters non_smtpd_milters content_filter
		disable_dns_lookups smtp_dns_support_level smtp_host_lookup smtp_tls_security_level smtpd_tls_security_level smtp_bind_address smtp_bind_address6 multi_instance_enable
		multi_instance_directories multi_instance_name multi_instance_group authorized_submit_users header_checks body_checks smtp_sasl_auth_enable sender_dependent_relayhost_maps`)
}

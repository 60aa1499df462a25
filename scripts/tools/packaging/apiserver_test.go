package packaging_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/testkit"
)

// apiServer is a real API server of Kubernetes with an etcd of its own, on loopback.
type apiServer struct {
	url    string
	client *http.Client
}

const apiToken = "only-on-loopback-and-only-for-this-test"

// startAPIServer starts both programs, which end with the test or this process.
func startAPIServer(t *testing.T) *apiServer {
	t.Helper()
	server, etcd := os.Getenv("KUBE_APISERVER"), os.Getenv("ETCD")
	if server == "" || etcd == "" {
		t.Skip("only with KUBE_APISERVER and ETCD: make kubernetes-check")
	}
	dir := t.TempDir()
	tokens := filepath.Join(dir, "tokens.csv")
	if err := os.WriteFile(tokens, []byte(apiToken+",admin,admin,system:masters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "accounts.key")
	command(t, dir, nil, "openssl", "genpkey", "-algorithm", "RSA", "-out", key)
	etcdClients, etcdPeers, secure := "http://127.0.0.1:"+freePort(t), "http://127.0.0.1:"+freePort(t), freePort(t)
	daemon(t, dir, etcd, "--data-dir="+filepath.Join(dir, "etcd"), "--listen-client-urls="+etcdClients, "--advertise-client-urls="+etcdClients,
		"--listen-peer-urls="+etcdPeers, "--initial-advertise-peer-urls="+etcdPeers, "--initial-cluster=default="+etcdPeers, "--unsafe-no-fsync")
	daemon(t, dir, server, "--etcd-servers="+etcdClients, "--bind-address=127.0.0.1", "--secure-port="+secure,
		"--cert-dir="+filepath.Join(dir, "certificates"), "--token-auth-file="+tokens, "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
		"--service-account-issuer=https://127.0.0.1", "--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none")
	// Its certificate is made at its start, and the token opens nothing but this server.
	s := &apiServer{"https://127.0.0.1:" + secure, &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}}
	testkit.Await(t, "the API server is ready", func() bool {
		status, _, _ := s.do(t, http.MethodGet, "/readyz", nil)
		return status == http.StatusOK
	}, func() string { return logTail(dir, server) })
	return s
}

// daemon starts a program that dies with this process.
func daemon(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, filepath.Base(name)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = dir, log, log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		_ = log.Close()
	})
}

func logTail(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, filepath.Base(name)+".log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// do sends YAML, or nothing, and returns the status (0: no answer), what the server said, and what it warned of.
func (s *apiServer) do(t *testing.T, method, path string, document []byte) (status int, said string, warnings []string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.url+path, bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+apiToken)
	request.Header.Set("Content-Type", "application/yaml")
	response, err := s.client.Do(request)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error(), nil
	}
	return response.StatusCode, string(text), response.Header.Values("Warning")
}

// collections are where documents of a kind are made.
var collections = map[string]string{
	"Namespace":             "/api/v1/namespaces",
	"Secret":                "/api/v1/namespaces/%s/secrets",
	"ConfigMap":             "/api/v1/namespaces/%s/configmaps",
	"PersistentVolumeClaim": "/api/v1/namespaces/%s/persistentvolumeclaims",
	"Service":               "/api/v1/namespaces/%s/services",
	"Deployment":            "/apis/apps/v1/namespaces/%s/deployments",
	"Job":                   "/apis/batch/v1/namespaces/%s/jobs",
	"NetworkPolicy":         "/apis/networking.k8s.io/v1/namespaces/%s/networkpolicies",
	"TestRun":               "/apis/k6.io/v1alpha1/namespaces/%s/testruns",
}

// make creates a document, or tries to (dryRun), with members that the server doesn't know as errors. What it warns of is an error too.
func (s *apiServer) make(t *testing.T, kind, namespace string, document []byte, dryRun bool) error {
	t.Helper()
	path := collections[kind]
	if path == "" {
		return fmt.Errorf("no collection for %s", kind)
	}
	if strings.Contains(path, "%s") {
		path = fmt.Sprintf(path, namespace)
	}
	path += "?fieldValidation=Strict"
	if dryRun {
		path += "&dryRun=All"
	}
	status, said, warnings := s.do(t, http.MethodPost, path, document)
	switch {
	case status != http.StatusCreated:
		return fmt.Errorf("status %d: %s", status, said)
	case len(warnings) > 0:
		return fmt.Errorf("warnings: %q", warnings)
	}
	return nil
}

// TestManifestsOnAnAPIServer gives every document to a real API server, with k6-operator's definition of a TestRun, in a namespace that demands the
// restricted standard of pod security, whose violations it warns of.
func TestManifestsOnAnAPIServer(t *testing.T) {
	s := startAPIServer(t)
	crd, err := os.ReadFile("testdata/k6.io_testruns.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if status, said, _ := s.do(t, http.MethodPost, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?fieldValidation=Strict", crd); status != http.StatusCreated {
		t.Fatalf("the operator's definition of a TestRun: status %d: %s", status, said)
	}
	testkit.Await(t, "the server serves TestRuns", func() bool {
		status, _, _ := s.do(t, http.MethodGet, "/apis/k6.io/v1alpha1/testruns", nil)
		return status == http.StatusOK
	})

	example := rendered(t, "overlays/example")
	const namespace = "smtpstorm"
	if err := s.make(t, "Namespace", namespace, example["Namespace"][0], false); err != nil {
		t.Fatal(err)
	}
	secret := []byte(command(t, "", nil, filepath.Join(root, "scripts/kubernetes/control-secret.sh")))
	if err := s.make(t, "Secret", namespace, secret, false); err != nil {
		t.Errorf("Secret: %v", err)
	}
	// What it refuses: else taking them would prove little.
	for _, change := range []struct{ kind, from, to string }{
		{"TestRun", "  parallelism: 2", "  parallelism: two"},
		{"TestRun", "  parallelism: 2", "  parallelism: 2\n  paralellism: 2"},
		{"TestRun", `quiet: "false"`, "quiet: false"},
		{"Deployment", "  replicas: 1", "  replica: 1"},
		{"Deployment", "runAsNonRoot: true", "runAsNonRoot: false"},
		{"Service", "targetPort: smtp", "targetPort: smtp\n    target: smtp"},
		{"NetworkPolicy", "policyTypes:", "policytypes:"},
	} {
		good := string(example[change.kind][0])
		bad := strings.Replace(good, change.from, change.to, 1)
		if bad == good {
			t.Errorf("%s: nothing to change: %q in\n%s", change.kind, change.from, good)
		} else if err := s.make(t, change.kind, namespace, []byte(bad), true); err == nil || strings.Contains(err.Error(), "AlreadyExists") {
			t.Errorf("%s: %q is taken, or refused for another reason: %v", change.kind, change.to, err)
		}
	}

	for _, dir := range []string{"overlays/storm", "overlays/example", "judge"} {
		documents := 0
		for kind, all := range rendered(t, dir) {
			for _, document := range all {
				if kind == "Namespace" {
					continue
				}
				documents++
				if err := s.make(t, kind, namespace, document, dir == "overlays/storm"); err != nil {
					t.Errorf("%s: %s: %v", dir, kind, err)
				}
			}
		}
		t.Logf("%s: %d documents", dir, documents)
	}
	s.referencesHold(t, namespace)
}

// referencesHold finds every Secret, ConfigMap and claim that the pods name, with the keys that they name.
func (s *apiServer) referencesHold(t *testing.T, namespace string) {
	t.Helper()
	type item struct{ Key string }
	type named struct {
		Name, SecretName, ClaimName string
		Items                       []item
	}
	type podSpec struct {
		Volumes []struct {
			Secret, ConfigMap, PersistentVolumeClaim *named
		}
	}
	var seen int
	for _, path := range []string{"/apis/apps/v1/namespaces/%s/deployments", "/apis/batch/v1/namespaces/%s/jobs"} {
		status, said, _ := s.do(t, http.MethodGet, fmt.Sprintf(path, namespace), nil)
		var list struct {
			Items []struct {
				Spec struct{ Template struct{ Spec podSpec } }
			}
		}
		if err := json.Unmarshal([]byte(said), &list); err != nil || status != http.StatusOK || len(list.Items) != 1 {
			t.Fatalf("%s: status %d, %d items, %v", path, status, len(list.Items), err)
		}
		for _, v := range list.Items[0].Spec.Template.Spec.Volumes {
			var at, name string
			var items []item
			switch {
			case v.Secret != nil:
				at, name, items = "secrets", v.Secret.SecretName, v.Secret.Items
			case v.ConfigMap != nil:
				at, name, items = "configmaps", v.ConfigMap.Name, v.ConfigMap.Items
			case v.PersistentVolumeClaim != nil:
				at, name = "persistentvolumeclaims", v.PersistentVolumeClaim.ClaimName
			default:
				continue
			}
			seen++
			status, said, _ := s.do(t, http.MethodGet, "/api/v1/namespaces/"+namespace+"/"+at+"/"+name, nil)
			var has struct{ Data map[string]string }
			if err := json.Unmarshal([]byte(said), &has); err != nil || status != http.StatusOK {
				t.Errorf("no %s named %s: status %d, %v", at, name, status, err)
			}
			for _, i := range items {
				if has.Data[i.Key] == "" {
					t.Errorf("%s %s has no %s", at, name, i.Key)
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d volumes of the pods are from elsewhere", seen)
	}
}

package packaging_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// rendered is what kustomize makes of a directory: documents by kind.
func rendered(t *testing.T, dir string) map[string][][]byte {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root, "scripts/kubernetes", dir))
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	documents := map[string][][]byte{}
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		documents[r.GetKind()] = append(documents[r.GetKind()], text)
	}
	return documents
}

// testRunSchema is the schema of a TestRun in the operator's own definition, in which members that it doesn't know are errors, as they are to a server that is asked
// to be strict.
func testRunSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile("testdata/k6.io_testruns.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema map[string]any }
			}
		}
	}
	if err := yaml.Unmarshal(text, &definition); err != nil {
		t.Fatal(err)
	}
	for _, v := range definition.Spec.Versions {
		if v.Name != "v1alpha1" {
			continue
		}
		schema := v.Schema.OpenAPIV3Schema
		closeObjects(schema)
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("testrun.json", schema); err != nil {
			t.Fatal(err)
		}
		compiled, err := compiler.Compile("testrun.json")
		if err != nil {
			t.Fatal(err)
		}
		return compiled
	}
	t.Fatal("no v1alpha1 in the definition")
	return nil
}

func closeObjects(schema any) {
	switch s := schema.(type) {
	case map[string]any:
		if properties, ok := s["properties"].(map[string]any); ok && s["x-kubernetes-preserve-unknown-fields"] != true {
			if _, said := s["additionalProperties"]; !said {
				s["additionalProperties"] = false
			}
			for _, p := range properties {
				closeObjects(p)
			}
		}
		closeObjects(s["items"])
		closeObjects(s["additionalProperties"])
	}
}

func validate(schema *jsonschema.Schema, document []byte) error {
	asJSON, err := yaml.YAMLToJSON(document)
	if err != nil {
		return err
	}
	var value any
	if err := json.Unmarshal(asJSON, &value); err != nil {
		return err
	}
	return schema.Validate(value)
}

// TestManifests renders the manifests and holds each document to its type, without members that the type doesn't have, and the TestRun to k6-operator's schema.
func TestManifests(t *testing.T) {
	schema := testRunSchema(t)
	for _, dir := range []string{"base", "overlays/example", "overlays/storm", "judge"} {
		documents := rendered(t, dir)
		for kind, all := range documents {
			for _, document := range all {
				var into any
				switch kind {
				case "Deployment":
					into = new(appsv1.Deployment)
				case "Job":
					into = new(batchv1.Job)
				case "NetworkPolicy":
					into = new(networkingv1.NetworkPolicy)
				case "Service":
					into = new(corev1.Service)
				case "ConfigMap":
					into = new(corev1.ConfigMap)
				case "PersistentVolumeClaim":
					into = new(corev1.PersistentVolumeClaim)
				case "Namespace":
					into = new(corev1.Namespace)
				case "TestRun":
					if err := validate(schema, document); err != nil {
						t.Errorf("%s: TestRun: %v", dir, err)
					}
					continue
				default:
					t.Errorf("%s: unexpected kind %s", dir, kind)
					continue
				}
				if err := yaml.UnmarshalStrict(document, into); err != nil {
					t.Errorf("%s: %s: %v", dir, kind, err)
				}
			}
		}
		if dir == "base" || dir == "judge" {
			continue
		}
		for _, kind := range []string{"TestRun", "Deployment"} {
			text := string(documents[kind][0])
			if !strings.Contains(text, "image: registry.example/smtpstorm-k6:latest") || !strings.Contains(text, "namespace: smtpstorm") {
				t.Errorf("%s: the overlay's image or namespace is not in the %s:\n%s", dir, kind, text)
			}
		}
	}
	storm := rendered(t, "overlays/storm")
	var sink appsv1.Deployment
	if err := yaml.Unmarshal(storm["Deployment"][0], &sink); err != nil {
		t.Fatal(err)
	}
	args := sink.Spec.Template.Spec.Containers[0].Args
	if !slices.Contains(args, "--plan=bounce-storm") {
		t.Errorf("under the storm the sink is called with %q", args)
	}
}

// A TestRun with what the operator doesn't know, or has in another form, is refused: else the test above would prove little.
func TestSchemaRefuses(t *testing.T) {
	schema := testRunSchema(t)
	good := string(rendered(t, "base")["TestRun"][0])
	if err := validate(schema, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"  parallelism: 2", "  parallelism: two"}, {"  parallelism: 2", "  parallelism: 2\n  paralellism: 2"}, {`quiet: "false"`, "quiet: false"},
		{"    image:", "    imagePullpolicy: Always\n    image:"}, {"  - -o\n", "  - {a: b}\n"},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Errorf("nothing to change: %q in\n%s", change[0], good)
		}
		if validate(schema, []byte(bad)) == nil {
			t.Errorf("%q passes", change[1])
		}
	}
}

package control

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
	"github.com/smtpstorm/xk6-smtp/sink/plan"
)

var update = flag.Bool("update", false, "write openapi.json anew")

const documentURL = "urn:openapi"

// contract is the OpenAPI document as a test holds answers to it, and what has been seen of it.
type contract struct {
	document map[string]any
	compiler *jsonschema.Compiler

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
	seen    map[string]bool // "GET /v1 200"
}

var theContract = sync.OnceValue(func() *contract {
	c := &contract{schemas: map[string]*jsonschema.Schema{}, seen: map[string]bool{}}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		panic(err)
	}
	c.document = document.(map[string]any)
	c.compiler = jsonschema.NewCompiler()
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource(documentURL, document); err != nil {
		panic(err)
	}
	return c
})

func object(v any, path ...string) map[string]any {
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	m, _ := v.(map[string]any)
	return m
}

// operation returns the path of the document that a request's path fits, and what it says of the method.
func (c *contract) operation(method, path string) (string, map[string]any) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path, _, _ = strings.Cut(path, "?")
	asked := strings.Split(path, "/")
	for template, item := range object(c.document, "paths") {
		parts := strings.Split(template, "/")
		fits := len(parts) == len(asked)
		for i := 0; fits && i < len(parts); i++ {
			fits = strings.HasPrefix(parts[i], "{") && asked[i] != "" || parts[i] == asked[i]
		}
		if fits && object(item, strings.ToLower(method)) != nil {
			return template, object(item, strings.ToLower(method))
		}
	}
	return "", nil
}

// check holds an answer to the document.
func (c *contract) check(t testing.TB, method, path string, sentType string, sent []byte, a answer) {
	t.Helper()
	template, op := c.operation(method, path)
	if a.status == http.StatusMethodNotAllowed {
		return // of no operation
	}
	if op == nil {
		if !slices.Contains([]int{400, 403, 404, 405}, a.status) {
			t.Errorf("%s %s is answered with %d, and the document doesn't have it", method, path, a.status)
		}
		return
	}
	status := strconv.Itoa(a.status)
	answered := object(op, "responses", status)
	if answered == nil {
		t.Errorf("%s %s: the document has no status %s: %.300s", method, template, status, a.body)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[strings.ToUpper(method)+" "+template+" "+status] = true
	at := "#/paths/" + strings.ReplaceAll(template, "/", "~1") + "/" + strings.ToLower(methodName(method))
	if method != http.MethodHead && a.status != 416 {
		c.body(t, at+"/responses/"+status, answered, a.header.Get("Content-Type"), a.body)
	}
	for name := range object(answered, "headers") {
		if a.header.Get(name) == "" {
			t.Errorf("%s %s: %s: no header %s", method, template, status, name)
		}
	}
	if a.status < 300 && len(sent) > 0 {
		c.body(t, at+"/requestBody", object(op, "requestBody"), sentType, sent)
	}
}

func methodName(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}

func (c *contract) body(t testing.TB, at string, described map[string]any, contentType string, body []byte) {
	t.Helper()
	content := object(described, "content")
	if content == nil {
		if len(body) > 0 {
			t.Errorf("%s: a body where there is none: %.300q", at, body)
		}
		return
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil || content[mediaType] == nil {
		t.Errorf("%s: a body of type %q, want one of %v", at, contentType, slices.Sorted(maps.Keys(content)))
		return
	}
	var documents [][]byte
	switch mediaType {
	case api.TypeJSON, api.TypeProblem:
		documents = [][]byte{body}
	case api.TypeNDJSON:
		if !strings.HasSuffix(at, "/200") {
			return
		}
		documents = slices.Collect(bytes.Lines(body))
	default:
		return
	}
	location := at + "/content/" + strings.ReplaceAll(mediaType, "/", "~1") + "/schema"
	schema := c.schemas[location]
	if schema == nil {
		if schema, err = c.compiler.Compile(documentURL + location); err != nil {
			t.Errorf("%s: %v", location, err)
			return
		}
		c.schemas[location] = schema
	}
	for _, document := range documents {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
		if err == nil {
			err = schema.Validate(value)
		}
		if err != nil {
			t.Errorf("%s: %v in %.500s", location, err, document)
			return
		}
	}
}

// unseen returns what the document promises and no test has met. A failure of the sink itself is nobody's to bring about.
func (c *contract) unseen() (missing []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, item := range object(c.document, "paths") {
		for method, op := range object(item) {
			for status := range object(op, "responses") {
				if what := strings.ToUpper(method) + " " + path + " " + status; !c.seen[what] {
					missing = append(missing, what)
				}
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// TestOpenAPI composes the document of its base and of the schemas that others keep: plans, rows, counts, verdicts.
func TestOpenAPI(t *testing.T) {
	read := func(name string) []byte {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	var document map[string]any
	decode := func(text []byte, into *map[string]any) {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	decode(read("openapi.base.json"), &document)
	schemas := object(document, "components", "schemas")
	add := func(name, prefix string, text []byte) {
		var schema map[string]any
		decode(bytes.ReplaceAll(text, []byte(`"#/$defs/`), []byte(`"#/components/schemas/`+prefix+`.`)), &schema)
		for key, def := range object(schema, "$defs") {
			schemas[prefix+"."+key] = def
		}
		for _, key := range []string{"$schema", "$id", "$defs"} {
			delete(schema, key)
		}
		schemas[name] = schema
	}
	planned, err := plan.Schema()
	if err != nil {
		t.Fatal(err)
	}
	next, err := plan.NextSchema()
	if err != nil {
		t.Fatal(err)
	}
	add("Plan", "plan", planned)
	add("Next", "plan", next)
	add("Counts", "counts", read("../../docs/counts.schema.json"))
	add("Row", "row", read("../../docs/ledger-row.schema.json"))
	add("Summary", "summary", read("../../docs/summary.schema.json"))
	text, err := json.MarshalIndent(document, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile("openapi.json", text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(text, openAPI) {
		t.Error("openapi.json is not what it is made of: go test ./sink/control -run TestOpenAPI -update")
	}
}

// The document has the routes that there are, with the rights that they want, and no others; it refers to nothing that it hasn't, and
// each schema is one.
func TestOpenAPIHasTheRoutes(t *testing.T) {
	c := theContract()
	g := start(t, "", nil)
	want := map[string]string{}
	for _, methods := range g.api.routes {
		for _, r := range methods {
			want[r.method+" "+r.path] = map[Access]string{Public: "public", Probe: "public", Read: "read", Write: "write"}[r.access]
		}
	}
	got := map[string]string{}
	ids := map[string]bool{}
	for path, item := range object(c.document, "paths") {
		for method, op := range object(item) {
			access, _ := object(op)["x-access"].(string)
			got[strings.ToUpper(method)+" "+path] = access
			id, _ := object(op)["operationId"].(string)
			if id == "" || ids[id] {
				t.Errorf("%s %s: the operation id %q is not its own", method, path, id)
			}
			ids[id] = true
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the document has\n%v\nand there is\n%v", got, want)
	}
	for name := range object(c.document, "components", "schemas") {
		if _, err := c.compiler.Compile(documentURL + "#/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !regexp.MustCompile(`^[A-Za-z0-9._-]+$`).MatchString(name) {
			t.Errorf("a schema is called %q", name)
		}
	}
	var served map[string]any
	g.call("GET", "/v1/openapi.json", "", 200, &served)
	if served["openapi"] != "3.1.0" {
		t.Errorf("served as %v", served["openapi"])
	}
}

// TestMain's last word: whatever the document promises, a test has met.
func everythingSeen() error {
	var missing []string
	for _, what := range theContract().unseen() {
		if !strings.HasSuffix(what, " 500") {
			missing = append(missing, what)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("no test has met what openapi.json promises: %s", strings.Join(missing, ", "))
	}
	return nil
}

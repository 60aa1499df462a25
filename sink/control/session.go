package control

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// A page signs in with a token and gets a cookie: an EventSource of a browser can't send a header of its own.
const (
	secureName  = "__Host-smtpsink" // the prefix has browsers insist on TLS, Secure, the path / and this host alone
	plainName   = "smtpsink"        // without TLS, on this machine: Chromium takes no cookie of that prefix there
	sessionTime = 12 * time.Hour
	maxSessions = 64
)

// sessions are the pages that are signed in.
type sessions struct {
	mu   sync.Mutex
	open map[[sha256.Size]byte]session
}

type session struct {
	role    Role
	expires time.Time
}

// begin returns the cookie of a new session. Past the limit the one goes that would end next.
func (s *sessions) begin(role Role, now time.Time) (cookie string, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[[sha256.Size]byte]session{}
	}
	if len(s.open) >= maxSessions {
		var next [sha256.Size]byte
		for sum, open := range s.open {
			if at, there := s.open[next]; !there || open.expires.Before(at.expires) {
				next = sum
			}
		}
		delete(s.open, next)
	}
	cookie, expires = rand.Text(), now.Add(sessionTime)
	s.open[sha256.Sum256([]byte(cookie))] = session{role, expires}
	return cookie, expires
}

// role returns what a cookie has the right to. The map's key is a hash: what a lookup's time tells is of no use.
func (s *sessions) role(cookie string, now time.Time) Role {
	sum := sha256.Sum256([]byte(cookie))
	s.mu.Lock()
	defer s.mu.Unlock()
	open, there := s.open[sum]
	if there && !now.Before(open.expires) {
		delete(s.open, sum)
		return RoleNone
	}
	return open.role
}

func (s *sessions) end(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sha256.Sum256([]byte(cookie)))
}

// cookieName returns the name of the cookie for connections like that of the request.
func cookieName(r *http.Request) string {
	if r.TLS == nil {
		return plainName
	}
	return secureName
}

func (s *Server) postSession(w http.ResponseWriter, r *http.Request) error {
	var in api.SignIn
	if err := s.readJSON(w, r, map[string]any{"token": &in.Token}, "token"); err != nil {
		return err
	}
	role := RoleWrite
	if len(s.cfg.Tokens) > 0 {
		if role = s.roleOfToken(in.Token); role == RoleNone {
			return problem(api.TokenNeeded, "the token is not one of this sink's")
		}
	}
	cookie, expires := s.sessions.begin(role, s.cfg.Now())
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: cookie, Path: "/", MaxAge: int(sessionTime / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	write(w, http.StatusOK, api.TypeJSON, api.Session{Role: role.String(), Expires: expires})
	return nil
}

func (s *Server) deleteSession(w http.ResponseWriter, r *http.Request) error {
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		s.sessions.end(cookie.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName(r), Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.WriteHeader(http.StatusNoContent)
	return nil
}

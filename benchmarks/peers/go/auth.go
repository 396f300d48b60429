package main

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi"
	"github.com/golang-jwt/jwt"
)

// requireOwner accepts a request whose token is valid and names the user in the path.
func requireOwner(secret []byte) func(http.Handler) http.Handler {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}))
	key := func(*jwt.Token) (interface{}, error) { return secret, nil }
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var claims jwt.RegisteredClaims
			token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			if _, err := parser.ParseWithClaims(token, &claims, key); err != nil {
				problem(w, http.StatusUnauthorized, "Invalid or expired token")
				return
			}
			if claims.Subject != chi.URLParam(r, "user_id") {
				problem(w, http.StatusForbidden, "Not your tasks")
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

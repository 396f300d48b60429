package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

type task struct {
	ID          int64     `json:"id"`
	UserID      string    `json:"user_id"`
	Title       string    `json:"title"`
	Description *string   `json:"description"`
	Completed   bool      `json:"completed"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

type taskList struct {
	Tasks []task `json:"tasks"`
	Count int    `json:"count"`
}

type taskStats struct {
	Total     int64 `json:"total"`
	Pending   int64 `json:"pending"`
	Completed int64 `json:"completed"`
}

type taskCreate struct {
	Title       string  `json:"title"`
	Description *string `json:"description"`
}

// optional distinguishes a missing field from one that is null.
type optional[T any] struct {
	sent  bool
	value *T
}

func (o *optional[T]) UnmarshalJSON(text []byte) error {
	o.sent = true
	return json.Unmarshal(text, &o.value)
}

type taskUpdate struct {
	Title       optional[string] `json:"title"`
	Description optional[string] `json:"description"`
	Completed   optional[bool]   `json:"completed"`
}

func checkTitle(title *string) error {
	if title == nil || *title == "" || utf8.RuneCountInString(*title) > 200 {
		return errors.New("The title must have 1 to 200 characters")
	}
	return nil
}

func checkDescription(description *string) error {
	if description != nil && utf8.RuneCountInString(*description) > 1000 {
		return errors.New("The description must have at most 1000 characters")
	}
	return nil
}

func (t *taskCreate) validate() error {
	if err := checkTitle(&t.Title); err != nil {
		return err
	}
	return checkDescription(t.Description)
}

func (t *taskUpdate) validate() error {
	if t.Title.sent {
		if err := checkTitle(t.Title.value); err != nil {
			return err
		}
	}
	if t.Completed.sent && t.Completed.value == nil {
		return errors.New("Completed must be true or false")
	}
	return checkDescription(t.Description.value)
}

// changes returns the assignments of an UPDATE and its values, which begin with `values`.
func (t *taskUpdate) changes(values ...interface{}) (string, []interface{}) {
	assignments := ""
	set := func(name string, value interface{}) {
		values = append(values, value)
		assignments += fmt.Sprintf("%s = $%d, ", name, len(values))
	}
	if t.Title.sent {
		set("title", t.Title.value)
	}
	if t.Description.sent {
		set("description", t.Description.value)
	}
	if t.Completed.sent {
		set("completed", t.Completed.value)
	}
	return assignments, values
}

func readBody(r *http.Request, body interface{ validate() error }) error {
	if err := json.NewDecoder(r.Body).Decode(body); err != nil {
		return err
	}
	return body.validate()
}

// listQuery is the query of a list. Without a search, the pattern is empty.
type listQuery struct {
	limit   *int
	pattern string
}

var special = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func readQuery(r *http.Request) (query listQuery, err error) {
	sent := r.URL.Query()
	if query.limit, err = readLimit(sent.Get("limit")); err != nil || !sent.Has("q") {
		return query, err
	}
	q := sent.Get("q")
	if q == "" || utf8.RuneCountInString(q) > 200 {
		return query, errors.New("The q must have 1 to 200 characters")
	}
	query.pattern = "%" + special.Replace(q) + "%"
	return query, nil
}

func readLimit(text string) (*int, error) {
	if text == "" {
		return nil, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > 1000 {
		return nil, errors.New("The limit must be a number from 1 to 1000")
	}
	return &limit, nil
}

func respond(w http.ResponseWriter, status int, content interface{}) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(content)
}

func problem(w http.ResponseWriter, status int, detail string) {
	respond(w, status, map[string]string{"detail": detail})
}

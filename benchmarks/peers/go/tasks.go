package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/go-chi/chi"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const (
	columns   = "id, user_id, title, description, completed, created_at, updated_at"
	ofUser    = " WHERE id = $1 AND user_id = $2"
	returning = " RETURNING " + columns
	listSQL   = "SELECT " + columns +
		" FROM tasks WHERE user_id = $1 ORDER BY created_at DESC LIMIT $2"
	searchSQL = "SELECT " + columns +
		" FROM tasks WHERE user_id = $1 AND (title ILIKE $3 OR description ILIKE $3)" +
		" ORDER BY created_at DESC LIMIT $2"
	statsSQL = "SELECT count(*), count(*) FILTER (WHERE NOT completed)," +
		" count(*) FILTER (WHERE completed) FROM tasks WHERE user_id = $1"
	createSQL = "INSERT INTO tasks (user_id, title, description) VALUES ($1, $2, $3)" + returning
	readSQL   = "SELECT " + columns + " FROM tasks" + ofUser
	toggleSQL = "UPDATE tasks SET completed = NOT completed, updated_at = now()" +
		ofUser + returning
	deleteSQL = "DELETE FROM tasks" + ofUser
)

type tasks struct{ pool *pgxpool.Pool }

func scan(row pgx.Row) (t task, err error) {
	err = row.Scan(
		&t.ID, &t.UserID, &t.Title, &t.Description, &t.Completed, &t.CreatedAt, &t.UpdatedAt,
	)
	return t, err
}

func (s tasks) selectTasks(ctx context.Context, sql string, values ...interface{}) ([]task, error) {
	rows, err := s.pool.Query(ctx, sql, values...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []task{}
	for rows.Next() {
		t, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, t)
	}
	return found, rows.Err()
}

// one runs a statement that returns a task, and responds with it.
func (s tasks) one(w http.ResponseWriter, r *http.Request, status int, sql string, values ...interface{}) {
	t, err := scan(s.pool.QueryRow(r.Context(), sql, values...))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		problem(w, http.StatusNotFound, "Task not found")
	case err != nil:
		problem(w, http.StatusInternalServerError, "Internal server error")
	default:
		respond(w, status, t)
	}
}

// taskID reads the id in the path, and responds with a 422 if it is not a number.
func taskID(w http.ResponseWriter, r *http.Request) (int64, bool) {
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil {
		problem(w, http.StatusUnprocessableEntity, "The id must be a number")
	}
	return id, err == nil
}

func (s tasks) list(w http.ResponseWriter, r *http.Request) {
	query, err := readQuery(r)
	if err != nil {
		problem(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	sql, values := listSQL, []interface{}{chi.URLParam(r, "user_id"), query.limit}
	if query.pattern != "" {
		sql, values = searchSQL, append(values, query.pattern)
	}
	found, err := s.selectTasks(r.Context(), sql, values...)
	if err != nil {
		problem(w, http.StatusInternalServerError, "Internal server error")
		return
	}
	respond(w, http.StatusOK, taskList{found, len(found)})
}

func (s tasks) stats(w http.ResponseWriter, r *http.Request) {
	var c taskStats
	row := s.pool.QueryRow(r.Context(), statsSQL, chi.URLParam(r, "user_id"))
	if err := row.Scan(&c.Total, &c.Pending, &c.Completed); err != nil {
		problem(w, http.StatusInternalServerError, "Internal server error")
		return
	}
	respond(w, http.StatusOK, c)
}

func (s tasks) create(w http.ResponseWriter, r *http.Request) {
	var body taskCreate
	if err := readBody(r, &body); err != nil {
		problem(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	user := chi.URLParam(r, "user_id")
	s.one(w, r, http.StatusCreated, createSQL, user, body.Title, body.Description)
}

func (s tasks) read(w http.ResponseWriter, r *http.Request) {
	if id, ok := taskID(w, r); ok {
		s.one(w, r, http.StatusOK, readSQL, id, chi.URLParam(r, "user_id"))
	}
}

func (s tasks) update(w http.ResponseWriter, r *http.Request) {
	var body taskUpdate
	id, ok := taskID(w, r)
	if !ok {
		return
	}
	if err := readBody(r, &body); err != nil {
		problem(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	assignments, values := body.changes(id, chi.URLParam(r, "user_id"))
	sql := "UPDATE tasks SET " + assignments + "updated_at = now()" + ofUser + returning
	s.one(w, r, http.StatusOK, sql, values...)
}

func (s tasks) toggle(w http.ResponseWriter, r *http.Request) {
	if id, ok := taskID(w, r); ok {
		s.one(w, r, http.StatusOK, toggleSQL, id, chi.URLParam(r, "user_id"))
	}
}

func (s tasks) delete(w http.ResponseWriter, r *http.Request) {
	id, ok := taskID(w, r)
	if !ok {
		return
	}
	done, err := s.pool.Exec(r.Context(), deleteSQL, id, chi.URLParam(r, "user_id"))
	switch {
	case err != nil:
		problem(w, http.StatusInternalServerError, "Internal server error")
	case done.RowsAffected() == 0:
		problem(w, http.StatusNotFound, "Task not found")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// The API on chi, pgx and golang-jwt. It needs only Debian's packages.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-chi/chi"
	"github.com/jackc/pgx/v4/pgxpool"
	"github.com/rs/cors"
)

func connect(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return nil, err
	}
	config.MaxConns = 10
	return pgxpool.ConnectConfig(ctx, config)
}

func routes(pool *pgxpool.Pool, secret []byte) http.Handler {
	tasks := tasks{pool}
	router := chi.NewRouter()
	router.Use(cors.New(cors.Options{
		AllowedOrigins:   []string{"http://localhost:3000"},
		AllowedMethods:   []string{"GET", "POST", "PUT", "PATCH", "DELETE"},
		AllowedHeaders:   []string{"Authorization", "Content-Type"},
		AllowCredentials: true,
	}).Handler)
	router.Get("/health", func(w http.ResponseWriter, r *http.Request) {
		if err := pool.Ping(r.Context()); err != nil {
			problem(w, http.StatusServiceUnavailable, "Database not reachable")
			return
		}
		respond(w, http.StatusOK, map[string]string{"status": "healthy", "database": "connected"})
	})
	router.Route("/api/{user_id}/tasks", func(router chi.Router) {
		router.Use(requireOwner(secret))
		router.Get("/", tasks.list)
		router.Get("/stats", tasks.stats)
		router.Post("/", tasks.create)
		router.Get("/{id}", tasks.read)
		router.Put("/{id}", tasks.update)
		router.Delete("/{id}", tasks.delete)
		router.Patch("/{id}/complete", tasks.toggle)
	})
	return router
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	pool, err := connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	server := http.Server{
		Addr:    os.Getenv("HOST") + ":" + os.Getenv("PORT"),
		Handler: routes(pool, []byte(os.Getenv("BETTER_AUTH_SECRET"))),
	}
	go func() {
		<-ctx.Done()
		server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}

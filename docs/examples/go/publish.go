// Publishing from Go:  go mod init publish && go get github.com/redis/go-redis/v9 && go run .
package main

import (
	"context"
	"log"
	"os"

	"github.com/redis/go-redis/v9"
)

func main() {
	ctx := context.Background()
	options, err := redis.ParseURL(os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()

	publish := func(channel string, message string) {
		if err := client.Publish(ctx, channel, message).Err(); err != nil {
			log.Fatal(err)
		}
	}
	publish("websocket:broadcast", `{"type":"data_update","content":{"entity":"user","action":"create","id":7}}`)
	publish("websocket:user:42", `{"type":"data_update","content":{"entity":"order","action":"paid","id":7}}`)
	publish("websocket:room:chat:room001", `{"message":{"type":"room_message","content":"Tea is ready"}}`)
	publish("websocket:notification:42", `{"type":"notification","id":"pay-7","content":{"title":"Paid","body":"Order 7"}}`)

	// At least once: waits in Redis until a bridge has delivered it.
	err = client.XAdd(ctx, &redis.XAddArgs{
		Stream: "ginforge:ingress", MaxLen: 1_000_000, Approx: true,
		Values: map[string]any{
			"channel": "websocket:notification:42",
			"message": `{"type":"notification","id":"pay-8","content":{"title":"Paid","body":"Order 8"}}`,
		},
	}).Err()
	if err != nil {
		log.Fatal(err)
	}
}

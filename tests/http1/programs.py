"""Programs that create three tasks on one connection, and print a line of JSON for each task."""

# Java's own client offers HTTP/2 with every request, even one with a body.
JAVA = """
import java.net.URI;
import java.net.http.*;

public class Ask {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int number = 0; number < 3; number++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
                .header("Content-Type", "application/json")
                .header("Authorization", arguments[1])
                .POST(HttpRequest.BodyPublishers.ofString(arguments[2 + number]))
                .build();
            System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
        }
    }
}
"""
# Its request on the wire: the head, then the body in a separate segment.
JAVA_HEAD = """POST /api/alice/tasks HTTP/1.1
Connection: Upgrade, HTTP2-Settings
Content-Length: 17
Host: 127.0.0.1:8000
HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA
Upgrade: h2c
User-Agent: Java-http-client/17.0.15
Authorization: {token}
Content-Type: application/json

"""
JAVA_BODY = b'{"title": "Milk"}'

# This client sends chunks and trailers, after 100 Continue.
NODE = """
const http = require("node:http");
const [url, token] = process.argv.slice(1);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const headers = {
    "Content-Type": "application/json",
    Authorization: token,
    Expect: "100-continue",
    Trailer: "X-Sum",
};

function ask(number) {
    if (number === 3) return agent.destroy();
    const request = http.request(url, { method: "POST", agent, headers });
    request.on("continue", () => {
        request.write(`{"title": `);
        request.addTrailers({ "X-Sum": "1", Authorization: "Bearer x" });
        request.end(`"Milk ${number}"}`);
    });
    request.on("response", (response) => {
        let body = "";
        response.on("data", (part) => { body += part; });
        response.on("end", () => {
            if (request.reusedSocket !== number > 0) throw new Error("another connection");
            console.log(body);
            setTimeout(ask, 20, number + 1); // the agent has the connection back by then
        });
    });
    request.flushHeaders();
}
ask(0);
"""

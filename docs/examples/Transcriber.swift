// Sends a recording to granite-mlx serve. Foundation alone, for apps on macOS 12 or later:
//
//     let text = try await Transcriber().text(of: URL(fileURLWithPath: "call.m4a"))

import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

struct Transcriber {
    var server = URL(string: "http://localhost:8000")!
    var token: String?

    struct Answer: Decodable { let text: String }

    struct Refusal: Decodable, LocalizedError {
        struct Details: Decodable {
            let message: String
            let param: String?
            let code: String?
        }
        let error: Details
        var errorDescription: String? { error.message }
    }

    /// - Parameters:
    ///   - language: the spoken language, a code such as "en"; nil where it is not known.
    ///   - keywords: names and terms that may be said.
    func text(of recording: URL, language: String? = nil, keywords: [String] = []) async throws -> String {
        var fields = keywords.map { ("keywords[]", $0) }
        if let language { fields.append(("language", language)) }

        let boundary = UUID().uuidString
        var body = Data()
        for (name, value) in fields {
            body.append("--\(boundary)\r\nContent-Disposition: form-data; name=\"\(name)\"\r\n\r\n\(value)\r\n")
        }
        // The server does not care for the name, but there has to be one.
        body.append("--\(boundary)\r\nContent-Disposition: form-data; name=\"file\"; filename=\"recording\"\r\n\r\n")
        body.append(try Data(contentsOf: recording, options: .mappedIfSafe))
        body.append("\r\n--\(boundary)--\r\n")

        var request = URLRequest(url: server.appendingPathComponent("v1/audio/transcriptions"))
        request.httpMethod = "POST"
        request.timeoutInterval = 3600
        request.setValue("multipart/form-data; boundary=\(boundary)", forHTTPHeaderField: "Content-Type")
        if let token { request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization") }

        let (data, response) = try await URLSession.shared.upload(for: request, from: body)
        guard (response as? HTTPURLResponse)?.statusCode == 200 else {
            throw try JSONDecoder().decode(Refusal.self, from: data)
        }
        return try JSONDecoder().decode(Answer.self, from: data).text
    }
}

private extension Data {
    mutating func append(_ text: String) { append(Data(text.utf8)) }
}

import Foundation

/// A line of the driver's log: a task that went to the driver, or came back.
struct TraceLine: Equatable {
    var isSubmission: Bool
    /// The name of the call, as DriverKit has it.
    var call: String
    var slot: Int
    var task: Int
    /// The command in hexadecimal, and its name; empty when the task comes back.
    var cdb = ""
    var operation = ""
    /// Bytes to move, or moved.
    var byteCount: Int
    var segmentCount = 0
    var serviceResponse = 0
    var status = 0

    /// The command moves blocks.
    var isTransfer: Bool { ["READ(10)", "READ(16)", "WRITE(10)", "WRITE(16)"].contains(operation) }

    struct NotALine: Error {
        var text: String
    }

    /// Reads a line for people.
    init(text: String) throws {
        let submitted =
            /(\w+): slot (\d+) task (\d+) target \d+ CDB ((?:[0-9a-f]{2} ?)+) \[([^\]]+)\] DataLength 0x([0-9a-f]+) SG count (\d+)/
        let completed =
            /(\w+): slot (\d+) task (\d+) service response (\d+) status 0x([0-9a-f]+) transferred 0x([0-9a-f]+)/
        if let match = try submitted.wholeMatch(in: text)?.output {
            self.init(
                isSubmission: true, call: String(match.1), slot: Int(match.2)!, task: Int(match.3)!,
                cdb: String(match.4), operation: String(match.5), byteCount: Int(match.6, radix: 16)!,
                segmentCount: Int(match.7)!)
        } else if let match = try completed.wholeMatch(in: text)?.output {
            self.init(
                isSubmission: false, call: String(match.1), slot: Int(match.2)!, task: Int(match.3)!,
                byteCount: Int(match.6, radix: 16)!, serviceResponse: Int(match.4)!,
                status: Int(match.5, radix: 16)!)
        } else {
            throw NotALine(text: text)
        }
    }

    /// Reads a line that is a JSON object.
    init(json: String) throws {
        guard let values = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any],
            let event = values["event"] as? String, let call = values["call"] as? String,
            let slot = values["slot"] as? Int, let task = values["task"] as? Int, let bytes = values["bytes"] as? Int
        else { throw NotALine(text: json) }
        if event == "submit", let cdb = values["cdb"] as? String, let operation = values["opcode"] as? String,
            let segments = values["segments"] as? Int, values["target"] is Int
        {
            self.init(
                isSubmission: true, call: call, slot: slot, task: task, cdb: cdb, operation: operation,
                byteCount: bytes, segmentCount: segments)
        } else if event == "complete", let response = values["service_response"] as? Int,
            let status = values["status"] as? Int
        {
            self.init(
                isSubmission: false, call: call, slot: slot, task: task, byteCount: bytes, serviceResponse: response,
                status: status)
        } else {
            throw NotALine(text: json)
        }
    }

    private init(
        isSubmission: Bool, call: String, slot: Int, task: Int, cdb: String = "", operation: String = "",
        byteCount: Int, segmentCount: Int = 0, serviceResponse: Int = 0, status: Int = 0
    ) {
        self.isSubmission = isSubmission
        self.call = call
        self.slot = slot
        self.task = task
        self.cdb = cdb
        self.operation = operation
        self.byteCount = byteCount
        self.segmentCount = segmentCount
        self.serviceResponse = serviceResponse
        self.status = status
    }

    /// Reads a whole log. Every line has to be one, and to be complete.
    static func lines(of log: String, format: String) throws -> [TraceLine] {
        guard log.isEmpty || log.hasSuffix("\n") else { throw NotALine(text: "no newline at the end") }
        return try log.split(separator: "\n").map { line in
            try format == "json" ? TraceLine(json: String(line)) : TraceLine(text: String(line))
        }
    }
}

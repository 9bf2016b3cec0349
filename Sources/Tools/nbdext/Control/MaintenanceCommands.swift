import EmulatedMachine
import NBDServer

/// Maintenance as the control socket's commands: each answers with the array's name and a message.
enum MaintenanceCommands {
    static func table(_ machine: Machine) -> [String: ControlSocket.Command] {
        [
            "status": { words in
                try need(1, words)
                return try machine.status(directory: words[0]).json.text
            },
            "fail": { words in
                try need(2, words)
                return try machine.fail(words[1], directory: words[0])
            },
            "remove": { words in
                try need(2, words)
                return try machine.remove(words[1], directory: words[0])
            },
            "add": { words in
                try need(2, words)
                return try machine.add(words[1], directory: words[0])
            },
            "replace": { words in
                try need(words.count == 3 ? 3 : 2, words)
                return try machine.replace(words[1], by: words.count == 3 ? words[2] : nil, directory: words[0])
            },
            "check": { words in
                try need(1, words)
                return try machine.begin(.check, directory: words[0])
            },
            "repair": { words in
                try need(1, words)
                return try machine.begin(.repair, directory: words[0])
            },
            "cancel": { words in
                try need(1, words)
                return try machine.cancelJob(directory: words[0])
            },
        ]
    }

    private static func need(_ count: Int, _ words: [String]) throws {
        guard words.count == count else { throw ServerError("the command takes \(count) words, not \(words.count)") }
    }
}

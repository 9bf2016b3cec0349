/// Reads Prometheus' text format strictly: what it says of names, labels, TYPE lines and buckets has to be so.
struct ExpositionParser {
    struct Sample: Hashable {
        var name: String
        var labels: [String: String]
    }

    struct Problem: Error, CustomStringConvertible {
        var description: String
    }

    private(set) var samples: [Sample: Double] = [:]
    private(set) var types: [String: String] = [:]
    private var helped: Set<String> = []
    private var order: [Sample] = []

    init(_ text: String) throws {
        guard text.hasSuffix("\n") else { throw Problem(description: "the last line does not end") }
        var current: String?
        for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
            if let help = line.wholeMatch(of: /# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (\S.*)/) {
                guard helped.insert(String(help.1)).inserted else { throw Problem(description: "twice: \(line)") }
            } else if let type = line.wholeMatch(of: /# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)/) {
                let name = String(type.1)
                guard helped.contains(name), types[name] == nil else { throw Problem(description: "order: \(line)") }
                guard (type.2 == "counter") == name.hasSuffix("_total") else { throw Problem(description: "\(line)") }
                types[name] = String(type.2)
                current = name
            } else {
                try take(line, metric: current)
            }
        }
        try checkHistograms()
    }

    subscript(name: String, labels: [String: String]) -> Double? { samples[Sample(name: name, labels: labels)] }

    private mutating func take(_ line: Substring, metric: String?) throws {
        guard let metric,
            let match = line.wholeMatch(of: /([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([0-9]+(?:\.[0-9]+)?)/),
            let value = Double(String(match.3))
        else { throw Problem(description: "not a sample: \(line)") }
        let suffixes = types[metric] == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
        guard suffixes.contains(where: { metric + $0 == match.1 }) else {
            throw Problem(description: "not of \(metric): \(line)")
        }
        var labels: [String: String] = [:]
        var rest = match.2 ?? ""
        while !rest.isEmpty {
            guard let label = rest.prefixMatch(of: /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,(?=.))?/),
                labels.updateValue(String(label.2), forKey: String(label.1)) == nil
            else { throw Problem(description: "labels: \(line)") }
            rest = rest[label.range.upperBound...]
            guard rest.isEmpty != (label.3 != nil) else { throw Problem(description: "commas: \(line)") }
        }
        let sample = Sample(name: String(match.1), labels: labels)
        guard samples.updateValue(value, forKey: sample) == nil else { throw Problem(description: "twice: \(line)") }
        order.append(sample)
    }

    /// Bounds and counts rise, the last bound is infinite, and its count is `_count`.
    private func checkHistograms() throws {
        for (name, type) in types where type == "histogram" {
            var groups: [[String: String]: [(Double, Double)]] = [:]
            for sample in order where sample.name == name + "_bucket" {
                var labels = sample.labels
                guard let end = labels.removeValue(forKey: "le").flatMap({ $0 == "+Inf" ? .infinity : Double($0) })
                else { throw Problem(description: "le of \(sample)") }
                groups[labels, default: []].append((end, samples[sample]!))
            }
            guard !groups.isEmpty else { throw Problem(description: "\(name) is empty") }
            for (labels, buckets) in groups {
                for (left, right) in zip(buckets, buckets.dropFirst())
                where left.0 >= right.0 || left.1 > right.1 {
                    throw Problem(description: "\(name) \(labels): \(left) before \(right)")
                }
                guard buckets.last?.0 == .infinity, self[name + "_count", labels] == buckets.last?.1,
                    self[name + "_sum", labels] != nil
                else { throw Problem(description: "\(name) \(labels): no end, count or sum") }
            }
        }
    }
}

#include "fs/state_file.h"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>

namespace firstlight {

std::string state_file_name(const layer& l) {
    return l.blob().to_string() + ".json";
}

std::string state_file_content(const layer& l, std::string_view error) {
    const auto size = l.blob_size();
    // A chunk that was evicted and fetched again counts twice in the counter.
    const auto fetched = std::min(l.fetched().value(), size);
    const double percent =
      size == 0 ? 100.0 : static_cast<double>(fetched) * 100.0 / static_cast<double>(size);

    rapidjson::StringBuffer text;
    rapidjson::Writer<rapidjson::StringBuffer> json(text);
    json.StartObject();
    if (!error.empty()) {
        json.Key("error");
        json.String(error.data(), static_cast<rapidjson::SizeType>(error.size()));
    }
    json.Key("digest");
    json.String(l.blob().to_string().c_str());
    json.Key("size");
    json.Uint64(size);
    json.Key("fetchedSize");
    json.Uint64(fetched);
    json.Key("fetchedPercent");
    json.Double(percent);
    json.EndObject();
    return std::string(text.GetString(), text.GetSize()) + "\n";
}

} // namespace firstlight

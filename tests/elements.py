"""What stands in a page of HTML."""

from html.parser import HTMLParser


class Elements(HTMLParser):
    """Tags with their attributes, and the visible words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)
